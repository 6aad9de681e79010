/**
 * The control frames of one connection while its handshake reads them one after another.
 * fail() ends every wait, now and later, with the same error.
 */
import type { Clock, Timer } from '../model/clock';
import { MAX_WAITING_FRAMES } from '../model/limits';
import type { Frame } from './frames';
import { LinkEnd } from './linkEnd';

interface Waiter {
  readonly resolve: (frame: Frame) => void;
  readonly reject: (end: LinkEnd) => void;
  readonly timer: Timer;
}

export class Inbox {
  private readonly frames: Frame[] = [];
  private waiter: Waiter | undefined;
  private failure: LinkEnd | undefined;

  constructor(private readonly clock: Clock) {}

  push(frame: Frame): void {
    const waiter = this.takeWaiter();
    if (waiter !== undefined) waiter.resolve(frame);
    else if (this.frames.length < MAX_WAITING_FRAMES) this.frames.push(frame);
    else this.fail(new LinkEnd('protocol error: too many control frames'));
  }

  next(timeoutMs: number, what: string): Promise<Frame> {
    const frame = this.tryNext();
    if (frame !== undefined) return Promise.resolve(frame);
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return new Promise((resolve, reject) => {
      const timer = this.clock.after(timeoutMs, () => {
        this.fail(new LinkEnd(`timeout: ${what} did not come within ${timeoutMs} ms`));
      });
      this.waiter = { resolve, reject, timer };
    });
  }

  tryNext(): Frame | undefined {
    return this.frames.shift();
  }

  fail(end: LinkEnd): void {
    this.failure ??= end;
    this.takeWaiter()?.reject(this.failure);
  }

  private takeWaiter(): Waiter | undefined {
    const waiter = this.waiter;
    this.waiter = undefined;
    waiter?.timer.cancel();
    return waiter;
  }
}
