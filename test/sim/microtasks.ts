/**
 * Runs every microtask that is due, now: a simulated world is driven from plain code, without
 * going through Node's event loop between two events. Not to be called from a microtask.
 */
import { setFlagsFromString } from 'node:v8';

export const drainMicrotasks: () => void = makeDrain();

function makeDrain(): () => void {
  setFlagsFromString('--allow-natives-syntax');
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- it has no other name
  const drain = new Function('%PerformMicrotaskCheckpoint()') as () => void;
  drain();
  setFlagsFromString('--no-allow-natives-syntax');
  return drain;
}
