// The driver's end of image/usr/local/sbin/guest-agent: commands to a guest over a virtio port.
// Every command has a deadline, kept by the guest and, a little later, by the driver. A command
// whose guest was switched off ends with an error.

import type { Socket } from 'node:net';
import type { Outcome } from '../../support/privateBus';
import { connected, within } from './deadline';

/** What the guest may be late with its own deadline: emulation is slow. */
const GRACE_MS = 30_000;

export class Agent {
  private readonly waiting = new Map<string, (outcome: Outcome | Error) => void>();
  private readonly greeted: ((bootId: string) => void)[] = [];
  private rest = '';
  private nextId = 1;

  private constructor(private readonly socket: Socket) {
    socket.setEncoding('latin1').on('data', (text: string) => this.receive(text));
    socket.on('close', () => this.closed());
  }

  /** `path` is where qemu listens; it does so before the guest runs. */
  static async open(path: string): Promise<Agent> {
    return new Agent(await connected(path));
  }

  /** Runs a bash script; rejects when the guest does not answer. */
  run(script: string, deadlineMs: number): Promise<Outcome> {
    const id = String(this.nextId++);
    const seconds = Math.ceil(deadlineMs / 1000);
    const answered = new Promise<Outcome>((resolve, reject) => {
      this.waiting.set(id, (outcome) => {
        this.waiting.delete(id);
        if (outcome instanceof Error) reject(outcome);
        else resolve(outcome);
      });
    });
    this.socket.write(`run ${id} ${seconds} ${Buffer.from(script).toString('base64')}\n`);
    return within(answered, deadlineMs + GRACE_MS, `the guest's answer to: ${script}`);
  }

  /** The boot id of the system whose agent starts next. Ask before it can. */
  hello(deadlineMs: number): Promise<string> {
    const greeting = new Promise<string>((resolve) => this.greeted.push(resolve));
    return within(greeting, deadlineMs, 'the guest to boot');
  }

  close(): void {
    this.socket.destroy();
  }

  private receive(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop() ?? '';
    for (const line of lines) this.receiveLine(line.split(' '));
  }

  private receiveLine([word, ...rest]: string[]): void {
    if (word === 'hello') {
      for (const resolve of this.greeted.splice(0)) resolve(rest[0] ?? '');
      return;
    }
    const [id = '', status, stdout = '', stderr = ''] = rest;
    if (word !== 'done') return;
    this.waiting.get(id)?.({
      status: Number(status),
      stdout: plain(stdout),
      stderr: plain(stderr),
    });
  }

  private closed(): void {
    for (const settle of [...this.waiting.values()])
      settle(new Error('the guest was switched off'));
  }
}

function plain(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}
