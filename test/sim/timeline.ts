/**
 * Timers of all simulated nodes in one order: by time, then by when they were set. Microseconds
 * of virtual time; the world's clock is the only one.
 */
import type { Clock, Timer } from '../../src/model/clock';

interface Entry {
  readonly atUs: number;
  readonly order: number;
  readonly action: () => void;
  cancelled: boolean;
}

export class Timeline {
  private readonly heap: Entry[] = [];
  private order = 0;

  set(atUs: number, action: () => void): Timer {
    this.order += 1;
    const entry = { atUs, order: this.order, action, cancelled: false };
    this.push(entry);
    return { cancel: () => void (entry.cancelled = true) };
  }

  /** Infinity when there is none. */
  nextUs(): number {
    for (let top = this.heap[0]; top !== undefined; top = this.heap[0]) {
      if (!top.cancelled) return top.atUs;
      this.pop();
    }
    return Infinity;
  }

  /** Runs the first timer that is due; false when none is. */
  runNext(nowUs: number): boolean {
    if (this.nextUs() > nowUs) return false;
    this.pop()?.action();
    return true;
  }

  private push(entry: Entry): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !before(entry, above)) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  private pop(): Entry | undefined {
    const { heap } = this;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const child = this.smallerChild(at);
      const below = heap[child];
      if (below === undefined || !before(below, last)) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
    return first;
  }

  private smallerChild(at: number): number {
    const left = 2 * at + 1;
    const a = this.heap[left];
    const b = this.heap[left + 1];
    return a !== undefined && b !== undefined && before(b, a) ? left + 1 : left;
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}

/** The clock of one process: stands still for it while it is stopped, ends with it. */
export class ProcessClock implements Clock {
  private ended = false;
  private stopped = false;
  private late: (() => void)[] = [];

  constructor(
    private readonly timeline: Timeline,
    private readonly nowUs: () => number,
  ) {}

  nowMs(): number {
    return this.nowUs() / 1000;
  }

  after(delayMs: number, action: () => void): Timer {
    let cancelled = false;
    const run = (): void => {
      if (!cancelled) action();
    };
    const atUs = this.nowUs() + Math.ceil(Math.max(0, delayMs) * 1000);
    const timer = this.timeline.set(atUs, () => this.due(run));
    return {
      cancel: () => {
        cancelled = true;
        timer.cancel();
      },
    };
  }

  /** SIGSTOP: what is due waits. */
  stop(): void {
    this.stopped = true;
  }

  goOn(): void {
    this.stopped = false;
    const late = this.late;
    this.late = [];
    for (const action of late) this.due(action);
  }

  end(): void {
    this.ended = true;
    this.late = [];
  }

  private due(action: () => void): void {
    if (this.ended) return;
    if (this.stopped) this.late.push(action);
    else action();
  }
}
