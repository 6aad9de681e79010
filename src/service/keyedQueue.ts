/**
 * Runs one task at a time for each key, in the order they came.
 */
import { MirrorError } from '../model/errors';
import { MAX_WAITING_PER_RESOURCE } from './limits';

interface Lane {
  last: Promise<unknown>;
  waiting: number;
}

export class KeyedQueue {
  private readonly lanes = new Map<string, Lane>();

  /** Those for which something runs or waits. */
  keys(): readonly string[] {
    return [...this.lanes.keys()];
  }

  /** The task's own result. @throws InTransition when too many wait already */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const lane = this.lanes.get(key) ?? { last: Promise.resolve(), waiting: 0 };
    if (lane.waiting >= MAX_WAITING_PER_RESOURCE) {
      const message = `too many commands for ${key} wait already; try again later`;
      throw new MirrorError('InTransition', message);
    }
    this.lanes.set(key, lane);
    lane.waiting++;
    const result = lane.last.then(task);
    lane.last = result.catch(() => undefined);
    try {
      return await result;
    } finally {
      lane.waiting--;
      if (lane.waiting === 0) this.lanes.delete(key);
    }
  }
}
