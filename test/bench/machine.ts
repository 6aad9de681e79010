// What both benchmarks' commands share: machine and command in a line, numbers and choices from the
// command line, and the terminal.

import { cpus, release } from 'node:os';

export function machineLine(versions: readonly string[] = []): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  // What a builder appended to the version tells nobody else anything.
  const [version] = release().split('-');
  return [`${cpus().length} x ${model}`, `Linux ${version}`, ...versions].join(', ');
}

/** As a report names it. */
export function commandLine(script: string, args: readonly string[]): string {
  return ['npm run', script, ...(args.length > 0 ? ['--', ...args] : [])].join(' ');
}

export function positive(text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`"${text ?? ''}" is not a number above 0`);
}

/** Of what is known, by a list from the command line. */
export function chosen<T extends string>(
  text: string | undefined,
  known: readonly T[],
  otherwise: readonly T[],
): readonly T[] {
  if (text === undefined) return otherwise;
  if (text === 'none') return [];
  return text.split(',').map((word) => {
    const found = known.find((one) => one === word.trim());
    if (found === undefined) throw new Error(`there is no ${word}; there are ${known.join(', ')}`);
    return found;
  });
}

export function say(line: string): void {
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  process.stdout.write(`${line}\n`);
}

/** One line that the next one replaces; nothing where nobody watches. */
export function progress(line: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line.slice(0, 100)}`);
}
