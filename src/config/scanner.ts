/**
 * The line scanner: finds sections, keys and values with their line numbers, and everything
 * that the `ini` package would silently merge, cut or misread.
 *
 * Its result carries text that `ini` reads without surprises: section N is called `sN` there
 * (ini nests names at dots), one `key = value` a line, no comments behind quoted values.
 * What cannot be read is left out of that text and reported. Called by load.ts.
 */
import { MAX_FILE_BYTES } from './limits';
import type { ProblemList } from './problems';

export interface ScannedKey {
  readonly name: string;
  readonly line: number;
}

export interface ScannedSection {
  /** `resource`, `net`, `disk` or `node`, or whatever stands there. */
  readonly kind: string;
  /** NAME of `[node "NAME"]`; undefined where there is none. */
  readonly label: string | undefined;
  readonly line: number;
  /** Each name once, where it was first. */
  readonly keys: ScannedKey[];
}

export interface ScannedFile {
  readonly sections: readonly ScannedSection[];
  /** For `ini.parse`; section N of `sections` is `[sN]`. */
  readonly iniText: string;
}

/** `bytes`: the whole file. undefined when it is no text at all; problems say why. */
export function scan(bytes: Buffer, problems: ProblemList): ScannedFile | undefined {
  const text = tryDecode(bytes, problems);
  if (text === undefined) return undefined;
  const scanner = new Scanner(problems);
  text.split(/\r\n|\n|\r/).forEach((line, index) => scanner.line(line, index + 1));
  return { sections: scanner.sections, iniText: scanner.output.join('\n') };
}

function tryDecode(bytes: Buffer, problems: ProblemList): string | undefined {
  if (bytes.length > MAX_FILE_BYTES) {
    problems.add(1, `the file is too large; at most ${MAX_FILE_BYTES / 1024} KiB are read`);
    return undefined;
  }
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    const utf16 = bytes[0] === 0xff || bytes[0] === 0xfe ? ' (UTF-16?)' : '';
    problems.add(
      lineAt(bytes, nul),
      `a zero byte: this is not a text file${utf16}; write it as plain UTF-8 text`,
    );
    return undefined;
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const line = firstLineNotUtf8(bytes);
    problems.add(line, 'this is not UTF-8 text; save the file in UTF-8');
    return undefined;
  }
}

function lineAt(bytes: Buffer, offset: number): number {
  let line = 1;
  for (let at = bytes.indexOf(10); at >= 0 && at < offset; at = bytes.indexOf(10, at + 1)) line++;
  return line;
}

function firstLineNotUtf8(bytes: Buffer): number {
  let line = 1;
  let start = 0;
  for (;;) {
    const newline = bytes.indexOf(10, start);
    const end = newline < 0 ? bytes.length : newline;
    try {
      new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    if (newline < 0) return line;
    start = newline + 1;
    line++;
  }
}

class Scanner {
  readonly sections: ScannedSection[] = [];
  readonly output: string[] = [];
  /** `skipping` from a header that could not be read to the next one. */
  private place: 'outside' | 'skipping' | 'inside' = 'outside';

  constructor(private readonly problems: ProblemList) {}

  line(raw: string, line: number): void {
    const text = raw.trim();
    if (text === '' || text.startsWith(';') || text.startsWith('#')) return;
    if (hasControlCharacter(text)) {
      this.problems.add(line, 'a control character; remove it, or write the line anew');
    } else if (text.startsWith('[')) {
      this.header(text, line);
    } else {
      this.pair(text, line);
    }
  }

  private header(text: string, line: number): void {
    this.place = 'skipping';
    const parsed = parseHeader(text);
    if (typeof parsed === 'string') {
      this.problems.add(line, parsed);
      return;
    }
    const name = sectionName(parsed.kind, parsed.label);
    const first = this.sections.find((other) => sectionName(other.kind, other.label) === name);
    if (first !== undefined) {
      this.problems.add(
        line,
        `section ${name} again; it begins at line ${first.line}, put these options there`,
      );
    }
    this.output.push(`[s${this.sections.length}]`);
    this.sections.push({ ...parsed, line, keys: [] });
    this.place = 'inside';
  }

  private pair(text: string, line: number): void {
    const equals = text.indexOf('=');
    const key = (equals < 0 ? text : text.slice(0, equals)).trim();
    const section = this.place === 'inside' ? this.sections.at(-1) : undefined;
    if (section === undefined) {
      if (this.place === 'outside') this.outside(key, line);
      return;
    }
    if (equals < 0) {
      this.problems.add(line, `${JSON.stringify(text)} has no value; write KEY = VALUE`);
      return;
    }
    if (!/^[A-Za-z0-9_-]+$/.test(key)) {
      this.problems.add(line, `${JSON.stringify(key)} is no name of an option; write KEY = VALUE`);
      return;
    }
    const first = section.keys.find((other) => other.name === key);
    if (first !== undefined) {
      this.problems.add(line, `${key} again; it is set at line ${first.line}, keep one of them`);
      return;
    }
    this.value(section, key, text.slice(equals + 1).trim(), line);
  }

  private outside(key: string, line: number): void {
    this.problems.add(
      line,
      `${JSON.stringify(key)} stands before the first section; put it below [resource], [net], \
[disk], [handlers] or [node "NAME"]`,
    );
  }

  private value(section: ScannedSection, key: string, text: string, line: number): void {
    section.keys.push({ name: key, line });
    const value = readValue(text);
    if (value.problem !== undefined) {
      this.problems.add(line, `${key}: ${value.problem}`);
    } else if (value.text === '' || value.text === '""' || value.text === "''") {
      this.problems.add(line, `${key} has no value; write ${key} = VALUE, or remove the line`);
    } else {
      this.output.push(`${key} = ${value.text}`);
    }
  }
}

/** As it stands in the file: `[net]`, `[node "alpha"]`. */
export function sectionName(kind: string, label: string | undefined): string {
  return label === undefined ? `[${kind}]` : `[${kind} "${label}"]`;
}

function parseHeader(text: string): { kind: string; label: string | undefined } | string {
  const quoted = /^\[\s*([^\s"\]]+)\s+"([^"]*)"\s*\]\s*([;#].*)?$/.exec(text);
  if (quoted !== null) return { kind: quoted[1] ?? '', label: quoted[2] ?? '' };
  const plain = /^\[\s*([^\s"'\]]+)\s*\]\s*([;#].*)?$/.exec(text);
  if (plain !== null) return { kind: plain[1] ?? '', label: undefined };
  const loose = /^\[\s*([a-z]+)\s+["'\u201c\u201e]?([^\s"'\u201d\]]+)["'\u201d\u201c]?\s*\]/i;
  const label = loose.exec(text);
  if (label !== null)
    return `write [${label[1] ?? ''} "${label[2] ?? ''}"], with nothing behind it`;
  if (!text.includes(']')) return `${JSON.stringify(text)} has no "]" at its end`;
  return `${JSON.stringify(text)} is no section; write [resource], [net], [disk], [handlers] or \
[node "NAME"]`;
}

interface ReadValue {
  readonly text: string;
  readonly problem?: string;
}

/** The value in the form in which `ini` reads it right, without its comment. */
function readValue(text: string): ReadValue {
  const quote = text[0];
  if (quote === '"' || quote === "'") return readQuoted(text, quote);
  let value = '';
  for (let index = 0; index < text.length; index++) {
    const character = text[index] ?? '';
    if (character === '\\' && /[;#\\]/.test(text[index + 1] ?? '')) {
      value += character + (text[++index] ?? '');
    } else if (character !== ';' && character !== '#') {
      value += character;
    } else if (index === 0 || /\s/.test(text[index - 1] ?? '')) {
      break;
    } else {
      const problem = `a "${character}" inside a value; put the value in double quotes, or a blank \
before a comment`;
      return { text: '', problem };
    }
  }
  return { text: value.trim() };
}

function readQuoted(text: string, quote: string): ReadValue {
  const pattern = quote === '"' ? /^"(?:[^"\\]|\\.)*"/ : /^'[^']*'/;
  const quoted = pattern.exec(text)?.[0];
  if (quoted === undefined) return { text: '', problem: `the closing ${quote} is missing` };
  const rest = text.slice(quoted.length).trim();
  if (rest !== '' && !/^[;#]/.test(rest)) {
    const problem = `${JSON.stringify(rest)} behind the closing quote; remove it`;
    return { text: '', problem };
  }
  const inner = quoted.slice(1, -1);
  // Single quotes are literal: in ini they may be so only without escapes of its own.
  if (quote === "'") return { text: JSON.stringify(inner) };
  return isJsonString(quoted)
    ? { text: quoted }
    : { text: '', problem: 'a backslash in double quotes is written twice; or use single quotes' };
}

function isJsonString(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'string';
  } catch {
    return false;
  }
}

function hasControlCharacter(text: string): boolean {
  for (const character of text) {
    const code = character.charCodeAt(0);
    if ((code < 32 && code !== 9) || code === 127) return true;
  }
  return false;
}
