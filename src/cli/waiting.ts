/**
 * Waiting in commands that go on for a while: for a time, a wake-up or Ctrl-C, whichever is
 * first.
 */

export class Waiter {
  private wake: (() => void) | undefined;
  private woken = false;
  private interrupted = false;
  private readonly onSignal = (): void => {
    this.interrupted = true;
    this.wakeUp();
  };

  constructor() {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, this.onSignal);
  }

  get isInterrupted(): boolean {
    return this.interrupted;
  }

  /** Ends the wait that runs, or else the next one at once. */
  wakeUp(): void {
    this.woken = true;
    this.wake?.();
  }

  async wait(deadlineMs: number): Promise<void> {
    if (!this.woken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, deadlineMs);
        this.wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.wake = undefined;
    this.woken = false;
  }

  /** Ctrl-C ends the program again. May be called twice. */
  close(): void {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, this.onSignal);
  }
}
