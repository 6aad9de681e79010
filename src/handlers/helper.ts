/**
 * Runs handlers through the helper process, a small program started in advance with its memory
 * locked (native/helper): it works while the device under everything else is suspended.
 *
 * The helper holds no descriptor of this process but its socket, and ends with it, as does
 * everything it started. When the helper itself ends, it is started again; what it ran has
 * failed then and is killed. Called by main.ts and, through HandlerRunner, by resources.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { getSystemErrorName } from 'node:util';
import type { Logger } from 'pino';
import type { HandlerCall, HandlerEnd, HandlerRunner } from '../model/handlers';
import { GRACE_MS, MAX_RUNNING, MAX_WAITING, RESTART_FIRST_MS, RESTART_LAST_MS } from './limits';
import { AnswerReader, tryFormatRun } from './messages';
import type { Answer } from './messages';

const SOCKET_FD = 3;

const NAME = 'blkmirror-handlers';
const BUILT = join(__dirname, '..', '..', 'native', 'build', 'Release', NAME);

/** Beside a bundle; or as built beside the addon. */
export const HANDLERS_PROGRAM = existsSync(join(__dirname, NAME)) ? join(__dirname, NAME) : BUILT;

interface Run {
  readonly id: number;
  readonly call: HandlerCall;
  readonly timer: NodeJS.Timeout;
  readonly settle: (end: HandlerEnd) => void;
  group: number | undefined;
}

interface Waiting {
  readonly call: HandlerCall;
  readonly settle: (end: HandlerEnd) => void;
}

interface Helper {
  readonly process: ChildProcess;
  readonly socket: Socket;
}

export class HelperProcess implements HandlerRunner {
  private helper: Helper | undefined;
  private readonly running = new Map<number, Run>();
  private readonly waiting: Waiting[] = [];
  private lastId = 0;
  private restartMs = RESTART_FIRST_MS;
  private restart: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly program: string,
    private readonly log: Logger,
  ) {
    this.start();
  }

  /** undefined while it is being started again. */
  get pid(): number | undefined {
    return this.helper?.process.pid;
  }

  run(call: HandlerCall): Promise<HandlerEnd> {
    return new Promise((resolve) => {
      const settle = (end: HandlerEnd): void => {
        this.logEnd(call, end);
        resolve(end);
      };
      if (this.closed) settle(failed('the service is ending'));
      else if (this.waiting.length >= MAX_WAITING) settle(failed('too many handlers wait'));
      else this.waiting.push({ call, settle });
      this.serve();
    });
  }

  /** Ends the helper and all that it runs. */
  close(): void {
    this.closed = true;
    clearTimeout(this.restart);
    this.helper?.socket.destroy();
    for (const { settle } of this.waiting.splice(0)) settle(failed('the service is ending'));
  }

  private start(): void {
    const stdio: ('ignore' | 'pipe')[] = ['ignore', 'ignore', 'ignore', 'pipe'];
    const child = spawn(this.program, [], { stdio, detached: true, cwd: '/', env: {} });
    const socket = child.stdio[SOCKET_FD];
    child.on('error', (error) => this.onEnd(child, error.message));
    if (child.pid === undefined || !(socket instanceof Socket)) return;
    const reader = new AnswerReader();
    socket.on('data', (bytes) => this.onData(child, reader, bytes));
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.onEnd(child, 'it closed its connection'));
    child.on('exit', (code, signal) => this.onEnd(child, `ended with ${signal ?? String(code)}`));
    // Neither keeps this process alive.
    child.unref();
    socket.unref();
    this.helper = { process: child, socket };
    this.serve();
  }

  private onData(child: ChildProcess, reader: AnswerReader, bytes: Buffer): void {
    if (this.helper?.process !== child) return;
    try {
      for (const answer of reader.push(bytes)) this.onAnswer(answer);
    } catch (error) {
      child.kill('SIGKILL');
      this.onEnd(child, String(error));
    }
  }

  /** Once for each helper, however it is noticed. */
  private onEnd(child: ChildProcess, reason: string): void {
    const current = this.helper?.process === child;
    if (!current && child.pid !== undefined) return;
    this.helper?.socket.destroy();
    this.helper = undefined;
    for (const run of [...this.running.values()]) {
      killGroup(run.group);
      this.finish(run, failed('the handler process ended'));
    }
    if (this.closed) return;
    this.log.error({ reason, program: this.program }, 'the handler process ended');
    clearTimeout(this.restart);
    this.restart = setTimeout(() => this.start(), this.restartMs).unref();
    this.restartMs = Math.min(this.restartMs * 2, RESTART_LAST_MS);
  }

  /** Starts what waits, as far as there is room. */
  private serve(): void {
    while (this.helper !== undefined && this.running.size < MAX_RUNNING) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      this.begin(this.helper, next);
    }
  }

  private begin(helper: Helper, { call, settle }: Waiting): void {
    this.lastId = (this.lastId + 1) >>> 0;
    const id = this.lastId;
    const message = tryFormatRun(id, call);
    if (message === undefined) {
      settle(failed('its command and environment are too long'));
      return;
    }
    // Handlers outlive no event loop that has nothing else to do: the daemon always has.
    const timer = setTimeout(() => this.giveUp(id), call.timeoutMs + GRACE_MS).unref();
    this.running.set(id, { id, call, timer, settle, group: undefined });
    const { name, resource, command } = call;
    this.log.info({ resource, handler: name, command }, 'handler started');
    helper.socket.write(message);
  }

  private onAnswer(answer: Answer): void {
    if (answer.kind === 'ready') {
      this.restartMs = RESTART_FIRST_MS;
      if (answer.warning !== '') this.log.warn(answer.warning);
      return;
    }
    const run = this.running.get(answer.id);
    if (run === undefined) return;
    const { name, resource, timeoutMs } = run.call;
    switch (answer.kind) {
      case 'started':
        run.group = answer.group;
        return;
      case 'output':
        this.log.info({ resource, handler: name }, answer.line);
        return;
      case 'ended':
        this.finish(run, endOf(answer, timeoutMs));
        this.serve();
    }
  }

  /** The helper itself did not keep the deadline: it is replaced. */
  private giveUp(id: number): void {
    if (!this.running.has(id)) return;
    const child = this.helper?.process;
    child?.kill('SIGKILL');
    if (child !== undefined) this.onEnd(child, 'it did not answer in time');
  }

  private finish(run: Run, end: HandlerEnd): void {
    clearTimeout(run.timer);
    this.running.delete(run.id);
    run.settle(end);
  }

  private logEnd({ resource, name }: HandlerCall, end: HandlerEnd): void {
    const fields = { resource, handler: name };
    if (end.kind === 'exited') this.log.info({ ...fields, status: end.status }, 'handler ended');
    else this.log.error(fields, `handler failed: ${end.message}`);
  }
}

function failed(message: string): HandlerEnd {
  return { kind: 'failed', message };
}

function endOf(answer: Extract<Answer, { readonly kind: 'ended' }>, timeoutMs: number): HandlerEnd {
  switch (answer.how) {
    case 'exited':
      return { kind: 'exited', status: answer.value };
    case 'killed':
      return failed(`killed by ${signalName(answer.value)}`);
    case 'timedOut':
      return failed(`did not end within ${timeoutMs} ms and was killed`);
    case 'notRun':
      return failed(`could not be run: ${getSystemErrorName(-answer.value)}`);
  }
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}

/** The helper cannot do it any more. */
function killGroup(group: number | undefined): void {
  if (group === undefined) return;
  try {
    process.kill(-group, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}
