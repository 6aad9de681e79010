/**
 * How long a command waits for its answer: as long as the service works on it. Handlers may take
 * minutes, and the service has a deadline of its own for everything it does, so a command gives up
 * only when the service no longer answers at all. Called by service.ts.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import { ALIVE_INTERVAL_MS } from './limits';

export interface Patience {
  /** Resolves when the service answers; rejects when it does not. */
  readonly ping: () => Promise<unknown>;
  /** Each time nothing has come for a while, with the time since the beginning. */
  readonly onWait: (waitedMs: number) => void;
  readonly intervalMs?: number;
}

/** @throws what `answer` rejects with; TimedOut when the service is silent */
export async function waitWhileAlive<T>(answer: Promise<T>, patience: Patience): Promise<T> {
  const { onWait, intervalMs = ALIVE_INTERVAL_MS } = patience;
  const beganMs = performance.now();
  const over = answer.then(
    () => true,
    () => true,
  );
  for (;;) {
    if (await within(over, intervalMs)) return answer;
    onWait(performance.now() - beganMs);
    await Promise.race([over, proveAlive(patience)]);
  }
}

async function proveAlive({ ping }: Patience): Promise<void> {
  try {
    await ping();
  } catch (error) {
    const { code, message } = toMirrorError(error);
    if (code !== 'TimedOut') throw error;
    throw new MirrorError('TimedOut', `blkmirrord has stopped answering (${message})`);
  }
}

/** Whether it was over before the deadline. */
async function within(over: Promise<boolean>, deadlineMs: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), deadlineMs);
  });
  const inTime = await Promise.race([over, late]);
  clearTimeout(timer);
  return inTime;
}
