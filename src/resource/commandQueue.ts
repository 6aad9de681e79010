/**
 * Commands of one resource, one at a time, in the order they came.
 */
import { MirrorError } from '../model/errors';
import { MAX_WAITING_COMMANDS } from '../model/limits';

export class CommandQueue {
  private last: Promise<unknown> = Promise.resolve();
  private waiting = 0;

  /** @throws InTransition when too many wait already */
  run<T>(command: () => Promise<T>): Promise<T> {
    if (this.waiting >= MAX_WAITING_COMMANDS) {
      const message = 'too many commands wait for this resource: try again later';
      return Promise.reject(new MirrorError('InTransition', message));
    }
    this.waiting += 1;
    const turn = this.last.then(command).finally(() => (this.waiting -= 1));
    this.last = turn.catch(() => undefined);
    return turn;
  }
}
