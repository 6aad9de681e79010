// Finds the function bodies of a C++ file by matching braces: what opens inside nothing but
// namespaces and types, and is not an initialiser, is a function. Used by functions.test.ts.

export interface CppFunction {
  /** The line its head begins on, from 1. */
  readonly line: number;
  /** From the beginning of its head to its closing brace. */
  readonly lines: number;
}

type Scope = 'container' | 'function' | 'initialiser';

interface Open {
  readonly scope: Scope;
  readonly line: number;
}

/** Line comments, block comments, raw strings, strings, characters (not 1'000), directives. */
const HIDDEN = [
  /\/\/[^\n]*/,
  /\/\*[\s\S]*?\*\//,
  /R"\([\s\S]*?\)"/,
  /"(?:\\.|[^"\\\n])*"/,
  /(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'/,
  /^[ \t]*#(?:\\\n|[^\n])*/,
];

export function cppFunctions(text: string): CppFunction[] {
  const found: CppFunction[] = [];
  const open: Open[] = [];
  let head = '';
  let headLine = 1;
  let line = 1;
  for (const char of blankOut(text)) {
    if (char === '\n') line++;
    if (char === '{') {
      open.push({ scope: scopeOf(head, open), line: head.trim() === '' ? line : headLine });
    } else if (char === '}') {
      const closed = open.pop();
      if (closed?.scope === 'function' && open.every((one) => one.scope === 'container')) {
        found.push({ line: closed.line, lines: line - closed.line + 1 });
      }
    }
    if (char === '{' || char === '}' || char === ';') {
      head = '';
    } else {
      if (head.trim() === '') headLine = line;
      head += char;
    }
  }
  return found;
}

function scopeOf(head: string, open: readonly Open[]): Scope {
  if (open.some((one) => one.scope !== 'container')) return 'function';
  if (/=\s*$/.test(head)) return 'initialiser';
  if (/\b(namespace|extern\s+"\s*")\b/.test(head)) return 'container';
  if (/\b(class|struct|union|enum)\b[^()]*$/.test(head)) return 'container';
  return 'function';
}

/** The text with comments, strings, characters and directives blanked, its line ends kept. */
function blankOut(text: string): string {
  const hidden = new RegExp(HIDDEN.map((one) => one.source).join('|'), 'gm');
  return text.replace(hidden, (match) => match.replace(/[^\n]/g, ' '));
}
