// The small parts: the state gate, the command queue, progress, preparation, deadlines.

import { MAX_WAITING_COMMANDS } from '../../../src/model/limits';
import type { NodeName } from '../../../src/model/states';
import type { Metadata } from '../../../src/plane/plane';
import { CommandQueue } from '../../../src/resource/commandQueue';
import { withDeadline } from '../../../src/resource/deadline';
import { changedFact, preparation, remembering } from '../../../src/resource/preparation';
import { doneFraction, Progress } from '../../../src/resource/progress';
import { StateGate } from '../../../src/resource/stateGate';
import { systemClock, systemRandom } from '../../../src/resource/system';
import type { ResyncVerdict } from '../../../src/rules/handshake';
import { identity } from '../../support/identities';
import { MemoryDisk, nameSpec } from '../../support/memoryDisk';
import { VirtualClock } from '../../support/virtualClock';

const beta = 'beta' as NodeName;

describe('the state gate', () => {
  const connected = {
    connectionState: 'Connected',
    role: 'Secondary',
    diskState: 'UpToDate',
    replicationState: 'Established',
  } as const;

  test('hands out frozen snapshots and notifies once per change', () => {
    const gate = new StateGate('UpToDate', [beta]);
    const seen: string[] = [];
    gate.subscribe((before, after) => seen.push(`${before.role} ${after.role}`));
    gate.propose({ role: 'Primary' });
    gate.propose({ role: 'Primary' });
    expect(seen).toEqual(['Secondary Primary']);
    expect(Object.isFrozen(gate.snapshot())).toBe(true);
    expect(Object.isFrozen(gate.peer(beta))).toBe(true);
  });

  test('refuses what is not allowed and changes nothing', () => {
    const gate = new StateGate('UpToDate', [beta]);
    gate.propose({ role: 'Primary', peer: { name: beta, change: connected } });
    const before = gate.snapshot();
    const change = { role: 'Primary' } as const;
    expect(() => gate.propose({ peer: { name: beta, change } })).toThrow(/two Primaries/);
    expect(gate.snapshot()).toBe(before);
  });

  test('a change proposed by a listener comes after the first is told to all', () => {
    const gate = new StateGate('UpToDate', []);
    const seen: string[] = [];
    gate.subscribe((_before, after) => {
      if (after.role === 'Primary') gate.propose({ role: 'Secondary' });
    });
    gate.subscribe((_before, after) => seen.push(after.role));
    gate.propose({ role: 'Primary' });
    expect(seen).toEqual(['Primary', 'Secondary']);
  });

  test('a listener can leave', () => {
    const gate = new StateGate('UpToDate', [beta]);
    let calls = 0;
    const leave = gate.subscribe(() => (calls += 1));
    leave();
    leave();
    gate.propose({ removePeer: beta });
    expect(calls).toBe(0);
    expect(gate.snapshot().peers.size).toBe(0);
  });
});

describe('the command queue', () => {
  test('runs one at a time, also after a failure', async () => {
    const queue = new CommandQueue();
    const order: number[] = [];
    const failing = queue.run(async () => {
      await Promise.resolve();
      order.push(1);
      throw new Error('no');
    });
    const next = queue.run(() => Promise.resolve(order.push(2)));
    await expect(failing).rejects.toThrow('no');
    await next;
    expect(order).toEqual([1, 2]);
  });

  test('refuses when too many wait', async () => {
    const queue = new CommandQueue();
    const waiting = Array.from({ length: MAX_WAITING_COMMANDS }, () =>
      queue.run(() => Promise.resolve()),
    );
    await expect(queue.run(() => Promise.resolve())).rejects.toMatchObject({
      code: 'InTransition',
    });
    await Promise.all(waiting);
    await queue.run(() => Promise.resolve());
  });
});

test('progress is averaged over the last looks', () => {
  const progress = new Progress();
  expect(progress.bytesPerSecond()).toBe(0);
  for (let look = 0; look <= 40; look += 1) progress.sample(look * 500, BigInt(look) * 1000n);
  progress.sample(20_001, 10n ** 12n); // too soon after the last
  expect(progress.bytesPerSecond()).toBe(2000);
  progress.clear();
  expect(progress.bytesPerSecond()).toBe(0);
});

test.each([
  [0n, 0n, 1],
  [5n, 10n, 0.5],
  [20n, 10n, 0],
  [5n, 0n, undefined],
])('%d of %d bytes left is %p done', (outOfSyncBytes, resyncTotalBytes, expected) => {
  const rest = { slot: 0, receiving: true, resyncedBytes: 0n, sentBytes: 0n, receivedBytes: 0n };
  expect(doneFraction({ ...rest, outOfSyncBytes, resyncTotalBytes })).toBe(expected);
});

describe('preparation', () => {
  function metadata(changes: Partial<Metadata>): Metadata {
    const disk = new MemoryDisk(4);
    disk.format(nameSpec('r0', 'alpha', '/disk'));
    disk.attach([beta]);
    return { ...disk.metadata(), consistent: true, currentUuid: 9n, ...changes };
  }
  const resync: ResyncVerdict = {
    kind: 'resync',
    direction: 'target',
    by: 'full',
    markAll: true,
    exchangeBitmaps: true,
  };
  const peer = identity({ currentUuid: 7n, generation: 3n });

  test('a full target is Inconsistent and marks everything', () => {
    expect(preparation(resync, metadata({}), 0)).toEqual({
      ifCurrentUuid: 9n,
      consistent: false,
      peers: [{ slot: 0, metGeneration: 1n, fullSync: true }],
    });
  });

  test('a target has begun nothing of its own any more, unless it is Primary', () => {
    const [record] = metadata({}).peers;
    if (record === undefined) throw new Error('beta has a slot');
    const peers = [{ ...record, bitmapUuid: 5n }];
    const patch = preparation(resync, metadata({ peers }), 0);
    expect(patch).toMatchObject({ peers: [{ slot: 0, bitmapUuid: 0n }] });
    const primary = preparation(resync, metadata({ peers, primaryIndicator: true }), 0);
    expect(primary?.peers?.[0]).not.toHaveProperty('bitmapUuid');
  });

  test('a source remembers where its target began, once that is Inconsistent', () => {
    const verdict: ResyncVerdict = { ...resync, direction: 'source', markAll: false };
    expect(preparation(verdict, metadata({}), 0)).toEqual({
      ifCurrentUuid: 9n,
      peers: [{ slot: 0, metGeneration: 1n }],
    });
    expect(remembering(verdict, metadata({}), 0, peer)).toEqual({
      peers: [{ slot: 0, generation: 3n, bitmapUuid: 7n }],
    });
  });

  test('a source is not Outdated any more', () => {
    const verdict: ResyncVerdict = { ...resync, direction: 'source', markAll: false };
    expect(preparation(verdict, metadata({ outdated: true }), 0)).toEqual({
      ifCurrentUuid: 9n,
      outdated: false,
      peers: [{ slot: 0, metGeneration: 1n }],
    });
  });

  test('nothing is written when nothing changes', () => {
    const record = { slot: 0, name: beta, bitmapUuid: 0n, generation: 3n };
    const met = { metGeneration: 1n, partedMs: 0, promotedApart: false, fills: false };
    const peers = [{ ...record, ...met, outdated: false, fullSync: false }];
    expect(preparation({ kind: 'inSync' }, metadata({ peers }), 0)).toBeUndefined();
    expect(preparation({ kind: 'splitBrain' }, metadata({}), 0)).toBeUndefined();
    expect(remembering({ kind: 'inSync' }, metadata({ peers }), 0, peer)).toBeUndefined();
  });

  test("the peer's generation is remembered after it has said that it knows of the meeting", () => {
    expect(remembering(resync, metadata({}), 0, peer)).toEqual({
      peers: [{ slot: 0, generation: 3n }],
    });
    expect(remembering({ kind: 'splitBrain' }, metadata({}), 0, peer)).toBeUndefined();
  });

  test('what the peer was told must still be so', () => {
    const told = identity();
    expect(changedFact(told, identity(), false)).toBeUndefined();
    expect(changedFact(told, identity({ role: 'Primary' }), true)).toBe('role');
    expect(changedFact(told, identity({ consistent: false }), true)).toBeUndefined();
    expect(changedFact(told, identity({ consistent: false }), false)).toBe('consistent');
    expect(changedFact(told, identity({ outOfSyncBytes: 1n }), false)).toBeUndefined();
  });
});

test('a deadline rejects, and what settles in time does not', async () => {
  const clock = new VirtualClock();
  const never = new Promise<void>(() => undefined);
  await expect(clock.finish(withDeadline(clock, 50, 'it', never))).rejects.toMatchObject({
    code: 'TimedOut',
    message: 'it took longer than 50 ms',
  });
  await expect(withDeadline(clock, 50, 'it', Promise.resolve(5))).resolves.toBe(5);
  await expect(withDeadline(clock, 50, 'it', Promise.reject(new Error('no')))).rejects.toThrow();
});

test('the real clock and randomness', async () => {
  const before = systemClock.nowMs();
  await new Promise<void>((resolve) => systemClock.after(5, resolve));
  expect(systemClock.nowMs()).toBeGreaterThan(before);
  expect(systemRandom.uuid()).not.toBe(systemRandom.uuid());
  expect(systemRandom.fraction()).toBeLessThan(1);
});
