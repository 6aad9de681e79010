// A command waits as long as the service shows that it is alive, and not longer.

import { waitWhileAlive } from '../../../src/cli/patience';
import { MirrorError } from '../../../src/model/errors';

const intervalMs = 1;

/** An answer that comes after so many pings. */
function answerAfter(pings: number, outcome: () => string): [Promise<string>, () => Promise<void>] {
  let settle: () => void = () => undefined;
  const answer = new Promise<void>((resolve) => (settle = resolve)).then(outcome);
  let seen = 0;
  const ping = (): Promise<void> => {
    seen += 1;
    if (seen === pings) settle();
    return Promise.resolve();
  };
  return [answer, ping];
}

test('it waits while pings are answered, and tells for how long', async () => {
  const [answer, ping] = answerAfter(5, () => 'done');
  const waited: number[] = [];
  const onWait = (ms: number): void => void waited.push(ms);
  expect(await waitWhileAlive(answer, { ping, onWait, intervalMs })).toBe('done');
  expect(waited.length).toBeGreaterThanOrEqual(5);
  expect([...waited].sort((a, b) => a - b)).toEqual(waited);
});

test('a refusal that comes late is the refusal', async () => {
  const refusal = new MirrorError('NotUpToDate', 'the copy is Outdated');
  const [answer, ping] = answerAfter(3, () => {
    throw refusal;
  });
  const patience = { ping, onWait: () => undefined, intervalMs };
  await expect(waitWhileAlive(answer, patience)).rejects.toBe(refusal);
});

test('an answer at once needs no ping', async () => {
  const ping = (): Promise<void> => Promise.reject(new Error('pinged'));
  const onWait = (): void => {
    throw new Error('told');
  };
  const answer = Promise.resolve('at once');
  expect(await waitWhileAlive(answer, { ping, onWait, intervalMs: 60_000 })).toBe('at once');
});

test('a service that stopped answering is given up, saying so', async () => {
  const never = new Promise<string>(() => undefined);
  const ping = (): Promise<void> =>
    Promise.reject(new MirrorError('TimedOut', 'Ping: no answer within 10 s'));
  const patience = { ping, onWait: () => undefined, intervalMs };
  await expect(waitWhileAlive(never, patience)).rejects.toMatchObject({
    code: 'TimedOut',
    message: 'blkmirrord has stopped answering (Ping: no answer within 10 s)',
  });
});

test('a bus that ended is told as it is', async () => {
  const never = new Promise<string>(() => undefined);
  const lost = new MirrorError('NotConnected', 'the bus ended before Ping was answered');
  const patience = { ping: () => Promise.reject(lost), onWait: () => undefined, intervalMs };
  await expect(waitWhileAlive(never, patience)).rejects.toBe(lost);
});
