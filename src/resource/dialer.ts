/**
 * Dials one peer: at once or after a while, again with back-off, one attempt at a time. An
 * attempt that was cancelled is never heard of again, and its socket is closed.
 *
 * Owned by peerConnection.ts, which knows whether a connection is wanted.
 */
import type { Timer } from '../model/clock';
import { toMirrorError } from '../model/errors';
import {
  RECONNECT_FIRST_MS,
  RECONNECT_JITTER,
  RECONNECT_LAST_MS,
  RESOLVE_TIMEOUT_MS,
} from '../model/limits';
import type { NodeName } from '../model/states';
import type { WireSocket } from '../plane/plane';
import type { Core } from './core';
import { withDeadline } from './deadline';
import { formatHello } from './hello';
import type { Hello } from './hello';

export interface DialerOwner {
  /** Asked when the time has come. */
  mayDial(): boolean;
  /** An attempt begins: its hello. */
  dialling(): Hello;
  dialled(socket: WireSocket, told: Hello): void;
  /** The attempt failed; the next one is planned already. */
  failed(reason: string): void;
}

interface Attempt {
  cancelled: boolean;
}

export class Dialer {
  private attempt: Attempt | undefined;
  private timer: Timer | undefined;
  private backoffMs = RECONNECT_FIRST_MS;
  private count = 0;

  constructor(
    private readonly core: Core,
    private readonly peer: NodeName,
    private readonly owner: DialerOwner,
  ) {}

  /** An attempt is under way. */
  get isBusy(): boolean {
    return this.attempt !== undefined;
  }

  /** So many attempts so far. */
  get attempts(): number {
    return this.count;
  }

  /** The next failure is taken for the first one. */
  forgetFailures(): void {
    this.backoffMs = RECONNECT_FIRST_MS;
  }

  now(): void {
    this.after(0);
  }

  /** As late as the failures so far demand. */
  again(): void {
    const delayMs = this.backoffMs;
    this.backoffMs = Math.min(delayMs * 2, RECONNECT_LAST_MS);
    const jitter = 1 + RECONNECT_JITTER * this.core.environment.random.fraction();
    this.after(delayMs * jitter);
  }

  /** Neither the attempt nor the plan for one goes on. */
  cancel(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.attempt !== undefined) this.attempt.cancelled = true;
    this.attempt = undefined;
  }

  private after(delayMs: number): void {
    this.timer?.cancel();
    this.timer = this.core.environment.clock.after(delayMs, () => {
      this.timer = undefined;
      void this.dial();
    });
  }

  private async dial(): Promise<void> {
    if (this.isBusy || !this.owner.mayDial()) return;
    const attempt = { cancelled: false };
    this.attempt = attempt;
    this.count += 1;
    const hello = this.owner.dialling();
    try {
      const socket = await this.openSocket(hello, attempt);
      if (attempt.cancelled) socket.close();
      else this.succeed(socket, hello);
    } catch (error) {
      if (!attempt.cancelled) this.fail(toMirrorError(error).message);
    }
  }

  private async openSocket(hello: Hello, attempt: Attempt): Promise<WireSocket> {
    const { environment, config, timeoutMs } = this.core;
    const { clock, plane } = environment;
    const { host, port } = this.core.peerConfig(this.peer);
    const resolving = environment.resolveHost(host);
    const address = await withDeadline(clock, RESOLVE_TIMEOUT_MS, `resolving ${host}`, resolving);
    if (attempt.cancelled) throw new Error('cancelled');
    const { sndbufBytes, rcvbufBytes } = config;
    const text = formatHello(hello);
    const spec = { host: address, port, timeoutMs, hello: text, sndbufBytes, rcvbufBytes };
    return plane.dial(spec);
  }

  private succeed(socket: WireSocket, told: Hello): void {
    this.attempt = undefined;
    this.owner.dialled(socket, told);
  }

  private fail(reason: string): void {
    this.attempt = undefined;
    this.again();
    this.owner.failed(reason);
  }
}
