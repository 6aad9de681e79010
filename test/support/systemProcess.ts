// Programs that system tests run beside the daemons: to their end with a deadline, or in the
// background until they are killed by their process id. What a test starts dies with it.

import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, openSync, closeSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Outcome } from './privateBus';

export const repository = join(__dirname, '../..');

const DEFAULT_DEADLINE_MS = 60_000;

export interface RunOptions {
  readonly deadlineMs?: number;
  readonly env?: Readonly<Record<string, string>>;
  /** Given on standard input. */
  readonly input?: string | Buffer;
}

/** Runs to its end; rejects only when it does not end in time. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const child = spawn(command, args, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const deadlineMs = options.deadlineMs ?? DEFAULT_DEADLINE_MS;
  const late = AbortSignal.timeout(deadlineMs);
  const kill = (): void => void child.kill('SIGKILL');
  late.addEventListener('abort', kill);
  const [code] = (await once(child, 'close')) as [number | null];
  late.removeEventListener('abort', kill);
  if (late.aborted) {
    const words = [command, ...args].join(' ');
    throw new Error(`not done within ${deadlineMs} ms: ${words}\n${stdout}\n${stderr}`);
  }
  return { status: code ?? 255, stdout, stderr };
}

/** The same, and exit status 0. Answers what it printed. */
export async function runOk(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const outcome = await run(command, args, options);
  if (outcome.status !== 0) {
    const words = [command, ...args].join(' ');
    const { status, stdout, stderr } = outcome;
    throw new Error(`exit status ${status}: ${words}\n${stdout}\n${stderr}`);
  }
  return outcome.stdout;
}

/** A program in the background. It is killed when the tests end, however they do. */
export class Background {
  private constructor(
    private readonly child: ChildProcess,
    readonly pid: number,
  ) {}

  /** Its output goes to `logFile`. */
  static start(command: string, args: readonly string[], logFile: string): Background {
    const log = openSync(logFile, 'a');
    const words = ['--pdeathsig', 'KILL', command, ...args];
    const child = spawn('setpriv', words, { stdio: ['ignore', log, log] });
    closeSync(log);
    if (child.pid === undefined) throw new Error(`cannot start ${command}`);
    return new Background(child, child.pid);
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  get exitStatus(): number | null {
    return this.child.exitCode;
  }

  signal(name: NodeJS.Signals): void {
    if (!this.hasEnded) process.kill(this.pid, name);
  }

  /** Rejects when it has not ended in time. */
  async ended(deadlineMs = DEFAULT_DEADLINE_MS): Promise<void> {
    if (this.hasEnded) return;
    const abort = new AbortController();
    const timer = setTimeout(() => abort.abort(), deadlineMs);
    try {
      await once(this.child, 'exit', { signal: abort.signal });
    } catch (error) {
      throw new Error(`process ${this.pid} has not ended in ${deadlineMs} ms`, { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  async kill(): Promise<void> {
    this.signal('SIGKILL');
    await this.ended();
  }
}

/** TCP ports that are free now, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports: number[] = [];
  for (const server of servers) {
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ports.push((server.address() as AddressInfo).port);
  }
  await Promise.all(
    servers.map((server) => {
      server.close();
      return once(server, 'close');
    }),
  );
  return ports;
}

export function scratchFolder(onTmpfs = false): string {
  return mkdtempSync(join(onTmpfs ? '/dev/shm' : tmpdir(), 'blkmirror-system-'));
}
