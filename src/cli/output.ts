/**
 * Where a command writes: results to standard output, reasons to standard error as
 * `blkmirror: reason`. A reader that goes away (`| head`) ends the program quietly.
 */
import { choosePainter } from './style';
import type { Painter } from './style';

export interface Output {
  /** Standard output is a terminal. */
  readonly isTerminal: boolean;
  readonly paint: Painter;
  /** One line, or several, on standard output. */
  print(text: string): void;
  /** As it is, without an end of line. */
  write(text: string): void;
  /** A reason for standard error; each line of it gets the program's name. */
  complain(text: string): void;
}

export function standardOutput(): Output {
  const { stdout, stderr } = process;
  const end = (error: NodeJS.ErrnoException): void => {
    if (error.code === 'EPIPE') process.exit();
    throw error;
  };
  stdout.on('error', end);
  stderr.on('error', end);
  return {
    isTerminal: stdout.isTTY,
    paint: choosePainter(stdout.isTTY, process.env),
    print: (text) => void stdout.write(`${text}\n`),
    write: (text) => void stdout.write(text),
    complain: (text) => void stderr.write(prefixed(text)),
  };
}

/** Control characters, which could come with a name from elsewhere, never reach the terminal. */
export function prefixed(text: string): string {
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => `blkmirror: ${line.replace(/\p{Cc}/gu, '?')}\n`).join('');
}
