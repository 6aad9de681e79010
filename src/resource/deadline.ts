/**
 * Every await has a deadline: withDeadline() rejects with TimedOut when `promise` has not
 * settled in time. What the promise does later is ignored.
 */
import type { Clock } from '../model/clock';
import { MirrorError } from '../model/errors';

export function withDeadline<T>(
  clock: Clock,
  timeoutMs: number,
  what: string,
  promise: Promise<T>,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const timer = clock.after(timeoutMs, () => {
      reject(new MirrorError('TimedOut', `${what} took longer than ${timeoutMs} ms`));
    });
    promise.then(
      (value) => {
        timer.cancel();
        resolve(value);
      },
      (error: unknown) => {
        timer.cancel();
        reject(error instanceof Error ? error : new Error(String(error)));
      },
    );
  });
}
