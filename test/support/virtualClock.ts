// A clock that only moves when a test moves it, and randomness with a seed.

import type { Clock, Random, Timer } from '../../src/model/clock';

interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
}

export class VirtualClock implements Clock {
  private now = 0;
  private order = 0;
  private entries: Entry[] = [];

  nowMs(): number {
    return this.now;
  }

  after(delayMs: number, action: () => void): Timer {
    this.order += 1;
    const entry = { atMs: this.now + Math.max(0, delayMs), order: this.order, action };
    this.entries.push(entry);
    return { cancel: () => (this.entries = this.entries.filter((other) => other !== entry)) };
  }

  /** Runs the next timer; false when there is none up to `limitMs`. */
  step(limitMs: number): boolean {
    const next = this.entries.reduce<Entry | undefined>(earlier, undefined);
    if (next === undefined || next.atMs > limitMs) return false;
    this.entries = this.entries.filter((entry) => entry !== next);
    this.now = next.atMs;
    next.action();
    return true;
  }

  /** Moves on until `done`, letting promises settle between timers. */
  async until(done: () => boolean, limitMs = 60_000): Promise<boolean> {
    const end = this.now + limitMs;
    for (;;) {
      await settled();
      if (done()) return true;
      if (!this.step(end)) return false;
    }
  }

  async pass(durationMs: number): Promise<void> {
    const end = this.now + durationMs;
    await this.until(() => false, durationMs);
    this.now = end;
  }

  /** Runs time until the promise settles. */
  async finish<T>(promise: Promise<T>): Promise<T> {
    let over = false;
    const mark = (): void => {
      over = true;
    };
    promise.then(mark, mark);
    if (!(await this.until(() => over))) throw new Error('the promise did not settle in time');
    return promise;
  }
}

function earlier(best: Entry | undefined, entry: Entry): Entry {
  if (best === undefined) return entry;
  if (entry.atMs !== best.atMs) return entry.atMs < best.atMs ? entry : best;
  return entry.order < best.order ? entry : best;
}

/** All promises that can settle have. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/** mulberry32 */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  return {
    fraction: () => next() / 2 ** 32,
    uuid: () => (BigInt(next()) << 32n) + BigInt(next()) + 5n,
  };
}
