// The command line in this process: its output caught, its exit status returned.

import type { Output } from '../../../src/cli/output';
import { prefixed } from '../../../src/cli/output';
import { run } from '../../../src/cli/program';
import { plainPainter } from '../../../src/cli/style';

export interface Outcome {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

export class Terminal {
  out = '';
  err = '';

  constructor(
    /** Global options in front of every command. */
    private readonly globals: readonly string[],
    private readonly isTerminal = false,
  ) {}

  async run(...args: string[]): Promise<Outcome> {
    this.out = '';
    this.err = '';
    const exit = await this.start(...args);
    return { exit, out: this.out, err: this.err };
  }

  /** Without waiting for the end; what was written is in `out` and `err`. */
  start(...args: string[]): Promise<number> {
    const output: Output = {
      isTerminal: this.isTerminal,
      paint: plainPainter,
      print: (text) => void (this.out += `${text}\n`),
      write: (text) => void (this.out += text),
      complain: (text) => void (this.err += prefixed(text)),
    };
    return run([...this.globals, ...args], '9.9.9', output);
  }
}
