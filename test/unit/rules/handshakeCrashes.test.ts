// The handshake of a Primary without a disk, and of copies that crashed: what each may lack.

import { PROTOCOLS } from '../../../src/model/states';
import type { Protocol } from '../../../src/model/states';
import { decide, sameVerdict, swapVerdict } from '../../../src/rules/handshake';
import type { Verdict } from '../../../src/rules/handshake';
import type { Identity } from '../../../src/rules/identity';
import { GENERATIONS, identity, inconsistent } from '../../support/identities';

const { a, b, c } = GENERATIONS;
const primary = { role: 'Primary' } as const;
const bits = { outOfSyncBytes: 4096n };
const target: Verdict = {
  kind: 'resync',
  direction: 'target',
  by: 'bitmap',
  markAll: false,
  exchangeBitmaps: true,
};
const source = swapVerdict(target);
const inFull: Verdict = { ...target, by: 'full', markAll: true };

/** A Primary that has attached its disk again; its clients have seen b meanwhile. */
function attachedAgain(facts: Partial<Identity>): Identity {
  const known = { exposedUuid: b, rememberedGeneration: identity().generation };
  return inconsistent({ ...primary, ...known, diskState: 'Negotiating', ...facts });
}

type Case = readonly [string, Identity, Identity, Verdict, (readonly Protocol[])?];

const CASES: readonly Case[] = [
  [
    'a failed disk',
    identity({ diskState: 'Failed' }),
    identity(primary),
    { kind: 'waits', why: 'noDisk' },
  ],
  [
    'a Primary without a disk, and the copy that has all it showed',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity(),
    { kind: 'served', who: 'own' },
  ],
  [
    'a Primary without a disk, and the copy that began its last generation',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: b }),
    identity(),
    { kind: 'served', who: 'own' },
  ],
  [
    'a Primary without a disk, and a copy that crashed: its unflushed writes may be gone',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ generation: 6n, crashed: true, crashedMachine: true }),
    { kind: 'waits', why: 'lostWrites' },
  ],
  [
    'a Primary without a disk, and a copy whose node does not tell how it crashed',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ generation: 6n, crashed: true, crashedMachine: undefined }),
    { kind: 'waits', why: 'lostWrites' },
  ],
  [
    'a Primary without a disk, and a killed copy: in A and B writes may have been on their way',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ generation: 6n, crashed: true }),
    { kind: 'waits', why: 'lostWrites' },
    ['A', 'B'],
  ],
  [
    'a Primary without a disk, and a copy that was only killed',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ generation: 6n, crashed: true }),
    { kind: 'served', who: 'own' },
    ['C'],
  ],
  [
    'a Primary without a disk, and a copy whose own clients wrote when it was killed',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ generation: 6n, crashed: true, crashedPrimary: true }),
    { kind: 'waits', why: 'lostWrites' },
  ],
  [
    'a Primary without a disk, and a copy that was Primary and has met it since',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ crashed: true, crashedPrimary: true }),
    { kind: 'served', who: 'own' },
  ],
  [
    'a Primary without a disk, and a copy that was put back from a snapshot',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a, rememberedGeneration: 6n }),
    identity({ generation: 6n, metGeneration: 5n, crashed: true }),
    { kind: 'reverted', who: 'peer' },
  ],
  [
    'a Primary without a disk, and a copy that missed what was acknowledged before it had that',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a, outOfSyncBytes: 4096n }),
    identity(),
    { kind: 'waits', why: 'lostWrites' },
  ],
  [
    'a Primary without a disk, and a copy of another generation',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ currentUuid: b, historyUuids: [a] }),
    { kind: 'waits', why: 'noDisk' },
  ],
  [
    'a Primary without a disk, and an Inconsistent copy',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    inconsistent(),
    { kind: 'waits', why: 'noDisk' },
  ],
  [
    'a Primary without a disk, and another Primary',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity(primary),
    { kind: 'splitBrain' },
  ],
  [
    'a Primary without a disk, and a copy that crashed before they met',
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    identity({ crashed: true, crashedMachine: true }),
    { kind: 'served', who: 'own' },
  ],
  [
    'a killed Secondary, which kept all, before the Primary that lost its power',
    identity({ crashed: true, crashedPrimary: true, crashedMachine: true, ...bits }),
    identity({ crashed: true }),
    target,
    ['C'],
  ],
  [
    'the crashed Primary, where the other node does not tell how it crashed',
    identity({ crashed: true, crashedPrimary: true, crashedMachine: true, ...bits }),
    identity({ crashed: true, crashedMachine: undefined }),
    source,
  ],
  [
    'the crashed Primary, when both lost their power',
    identity({ crashed: true, crashedPrimary: true, crashedMachine: true, ...bits }),
    identity({ crashed: true, crashedMachine: true }),
    source,
  ],
  [
    'a copy that is Outdated, but of the same generation, before the Primary that lost its power',
    identity({ outdated: true, diskState: 'Outdated' }),
    identity({ crashed: true, crashedPrimary: true, crashedMachine: true, ...bits }),
    source,
    ['B', 'C'],
  ],
  [
    'not in protocol A, where it may lack what was acknowledged',
    identity({ outdated: true, diskState: 'Outdated' }),
    identity({ crashed: true, crashedPrimary: true, crashedMachine: true, ...bits }),
    target,
    ['A'],
  ],
  [
    'two copies that are Outdated, of the same generation: nothing newer is anywhere',
    identity({ outdated: true, diskState: 'Outdated' }),
    identity({ outdated: true, diskState: 'Outdated' }),
    source,
    ['B', 'C'],
  ],
  [
    'a disk with a generation that no client has seen, and the copy that served meanwhile',
    attachedAgain({ currentUuid: c, bitmapUuid: a, historyUuids: [a] }),
    identity({ currentUuid: b, bitmapUuid: a, historyUuids: [a], ...bits }),
    inFull,
  ],
  [
    'such a disk, and a copy that has begun no generation of its own since',
    attachedAgain({ currentUuid: c, bitmapUuid: b, historyUuids: [b, a] }),
    identity({ currentUuid: b, historyUuids: [a] }),
    inFull,
  ],
  [
    'such a disk, and a copy with what its clients have not seen',
    attachedAgain({ currentUuid: c, bitmapUuid: a, historyUuids: [a], exposedUuid: c }),
    identity({ currentUuid: b, bitmapUuid: a, historyUuids: [a], ...bits }),
    { kind: 'waits', why: 'clientsSawOther' },
  ],
];

test.each(CASES.map((row) => [row[0], row] as const))('%s', (_title, row) => {
  const [, own, other, expected, protocols = PROTOCOLS] = row;
  const peer = { ...other, rank: 1 };
  for (const protocol of protocols) {
    expect(decide(own, peer, 2, protocol)).toEqual(expected);
    const swapped = swapVerdict(expected);
    expect(sameVerdict(decide(peer, own, 2, protocol), swapped)).toBe(true);
  }
});

test('with a third node a copy that is Outdated waits for the newer one', () => {
  const own = identity({ outdated: true, diskState: 'Outdated' });
  const peer = { ...identity({ crashed: true, crashedMachine: true, ...bits }), rank: 1 };
  expect(decide(own, peer, 3, 'C')).toEqual({ kind: 'waits', why: 'sourceOutdated' });
});
