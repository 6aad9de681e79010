// One direction of a connection through a Forwarder: a queue of bytes that can be held, delayed
// and slowed down. What one forwarder's lanes of a direction have in common is their LaneState.

import type { Socket } from 'node:net';

/** Sees what passes, and may hold back its end and everything after it. */
export interface Tap {
  take(chunk: Buffer, lane: object): Buffer;
}

export interface LaneState {
  /** Nothing is read: the sender's buffers fill, and nothing tells it. */
  held: boolean;
  /** What is read now arrives this much later. */
  delayMs: number;
  bytesPerSecond: number;
  trip: Tap | undefined;
}

/** On its way at most, before the sender has to wait. */
const MAX_DELAYED_BYTES = 8 * 1024 * 1024;

interface Due {
  readonly atMs: number;
  readonly act: () => void;
}

export class Lane {
  private readonly queue: Due[] = [];
  private timer: NodeJS.Timeout | undefined;
  private delayedBytes = 0;
  private isFull = false;
  private isResting = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private readonly state: LaneState,
  ) {
    from.on('data', (chunk: Buffer) => this.take(chunk));
    from.on('end', () => this.later(() => to.end()));
    from.on('close', () => this.later(() => this.closed()));
    to.on('drain', () => {
      this.isFull = false;
      this.proceed();
    });
  }

  /** Reads on where nothing forbids it. */
  proceed(): void {
    const { held } = this.state;
    const isBehind = this.isFull || this.isResting || this.delayedBytes >= MAX_DELAYED_BYTES;
    if (held || isBehind) this.from.pause();
    else this.from.resume();
  }

  private take(chunk: Buffer): void {
    const passing = this.state.trip === undefined ? chunk : this.state.trip.take(chunk, this);
    this.delayedBytes += passing.length;
    this.rest(passing.length);
    this.later(() => {
      this.delayedBytes -= passing.length;
      this.give(passing);
    });
  }

  /** A host that has forgotten a connection resets it when it hears of it. */
  private give(bytes: Buffer): void {
    if (this.to.destroyed) this.from.resetAndDestroy();
    else this.isFull = !this.to.write(bytes);
    this.proceed();
  }

  private rest(bytes: number): void {
    const { bytesPerSecond } = this.state;
    if (bytesPerSecond === Infinity) return;
    this.isResting = true;
    this.proceed();
    setTimeout(
      () => {
        this.isResting = false;
        this.proceed();
      },
      (bytes * 1000) / bytesPerSecond,
    );
  }

  /** In order, also when the delay changes meanwhile. */
  private later(act: () => void): void {
    if (this.state.delayMs === 0 && this.queue.length === 0) {
      act();
      return;
    }
    this.queue.push({ atMs: performance.now() + this.state.delayMs, act });
    this.timer ??= setTimeout(() => this.arrive(), this.state.delayMs);
  }

  private arrive(): void {
    this.timer = undefined;
    const now = performance.now();
    for (;;) {
      const head = this.queue[0];
      if (head === undefined) return;
      if (head.atMs > now + 1) {
        this.timer = setTimeout(() => this.arrive(), head.atMs - now);
        return;
      }
      this.queue.shift();
      head.act();
    }
  }

  private closed(): void {
    if (!this.state.held) this.to.destroy();
  }
}

export function openLane(): LaneState {
  return { held: false, delayMs: 0, bytesPerSecond: Infinity, trip: undefined };
}
