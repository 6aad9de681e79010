// The control socket of a qemu process (QMP): one command at a time, each with a deadline.

import type { Socket } from 'node:net';
import { connected, eachLine, within } from './deadline';

interface Answer {
  readonly return?: unknown;
  readonly error?: { readonly desc: string };
}

export class Qmp {
  private pending: ((answer: Answer) => void) | undefined;

  private constructor(private readonly socket: Socket) {
    eachLine(socket, (line) => {
      const answer = JSON.parse(line) as Answer;
      // Events and the greeting answer nothing.
      if (!('return' in answer) && !('error' in answer)) return;
      this.pending?.(answer);
    });
  }

  static async open(path: string): Promise<Qmp> {
    const qmp = new Qmp(await connected(path));
    await qmp.execute('qmp_capabilities');
    return qmp;
  }

  async execute(command: string, args: object = {}, deadlineMs = 20_000): Promise<unknown> {
    const answered = new Promise<Answer>((resolve) => (this.pending = resolve));
    this.socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
    const answer = await within(answered, deadlineMs, `qemu's answer to ${command}`);
    if (answer.error !== undefined) throw new Error(`qemu: ${command}: ${answer.error.desc}`);
    return answer.return;
  }

  close(): void {
    this.socket.destroy();
  }
}
