// The handshake: named meetings with their verdicts. Properties over all pairs are in
// handshakePairs.test.ts.

import { PROTOCOLS } from '../../../src/model/states';
import type { Protocol } from '../../../src/model/states';
import { decide, sameVerdict, swapVerdict } from '../../../src/rules/handshake';
import type { Verdict } from '../../../src/rules/handshake';
import type { Identity } from '../../../src/rules/identity';
import { fresh, GENERATIONS, identity, inconsistent } from '../../support/identities';

const { created, a, b, c } = GENERATIONS;

function target(by: 'bitmap' | 'full', markAll = false): Verdict {
  return { kind: 'resync', direction: 'target', by, markAll, exchangeBitmaps: true };
}
function source(by: 'bitmap' | 'full', markAll = false): Verdict {
  return swapVerdict(target(by, markAll));
}
const inSync: Verdict = { kind: 'inSync' };
const splitBrain: Verdict = { kind: 'splitBrain' };
const primary = { role: 'Primary' } as const;
const newer = { currentUuid: b, bitmapUuid: a, historyUuids: [a], outOfSyncBytes: 4096n };
const bits = { outOfSyncBytes: 4096n };
const mine = { currentUuid: b, bitmapUuid: a, historyUuids: [a] };
const theirs = { currentUuid: c, bitmapUuid: a, historyUuids: [a] };
const asked = { takeMeBack: true, fullSync: true };

const other: Verdict = { kind: 'waits', why: 'otherPrimary' };
const sawOther: Verdict = { kind: 'waits', why: 'clientsSawOther' };

/** A Primary that was SyncTarget; its clients have seen that generation. */
function lostSource(exposedUuid: bigint): Identity {
  const { generation } = identity();
  return inconsistent({ ...primary, exposedUuid, rememberedGeneration: generation });
}

type Case = readonly [string, Identity, Identity, Verdict, number?, (readonly Protocol[])?];

const sizes: Case[] = [
  [
    'sizes that differ',
    identity({ sizeBytes: 1n }),
    identity(),
    { kind: 'refused', why: 'sizesDiffer' },
  ],
  [
    'block sizes that differ',
    identity({ blockBytes: 4096 }),
    identity(),
    { kind: 'refused', why: 'blockSizesDiffer' },
  ],
];

const created2: Case[] = [
  ['two fresh copies', fresh(), fresh(), { kind: 'bothJustCreated' }],
  ['fresh meets forced', fresh(), identity(primary), target('full', true)],
  [
    'fresh goes on after an interruption',
    fresh(),
    identity({ bitmapUuid: created }),
    target('bitmap'),
  ],
  [
    'fresh again at a peer that knew it',
    fresh(),
    identity({ rememberedGeneration: 9n }),
    target('full', true),
  ],
  ['fresh meets unfinished', fresh(), inconsistent(), { kind: 'waits', why: 'noSource' }],
];

const equal: Case[] = [
  ['nothing out of sync', identity(), identity(primary), inSync],
  ['bits here', identity(bits), identity(primary), target('bitmap')],
  ['bits there', identity(), identity({ ...primary, ...bits }), target('bitmap')],
  ['an unfinished target', inconsistent(bits), identity(), target('bitmap')],
  ['an unfinished target without bits', inconsistent(), identity(), target('bitmap')],
  [
    'a Primary that is the target',
    inconsistent({ ...primary, ...bits }),
    identity(),
    target('bitmap'),
  ],
  [
    'who stayed up is the source',
    identity({ crashed: true, ...bits }),
    identity(bits),
    target('bitmap'),
  ],
  [
    'the node that stayed up before the crashed Primary',
    identity({ crashed: true, crashedPrimary: true, ...bits }),
    identity(),
    target('bitmap'),
    2,
    ['B', 'C'],
  ],
  [
    'in protocol A the crashed Primary, which alone has all that it acknowledged',
    identity({ crashed: true, crashedPrimary: true, ...bits }),
    identity({ writeSequence: 999n }),
    source('bitmap'),
    2,
    ['A'],
  ],
  [
    'in protocol A the higher write sequence before who stayed up',
    identity({ crashed: true, writeSequence: 101n, ...bits }),
    identity(),
    source('bitmap'),
    2,
    ['A'],
  ],
  [
    'the Primary before who stayed up',
    identity({ crashed: true, ...primary, ...bits }),
    identity(bits),
    source('bitmap'),
  ],
  [
    'the crashed Primary of two that crashed',
    identity({ crashed: true, crashedPrimary: true, ...bits }),
    identity({ crashed: true, writeSequence: 999n, ...bits }),
    source('bitmap'),
  ],
  [
    'then the higher write sequence',
    identity(bits),
    identity({ ...bits, writeSequence: 101n }),
    target('bitmap'),
  ],
  ['then the lower rank', identity(bits), identity({ ...bits, rank: 1 }), source('bitmap')],
  ['full on demand', identity({ fullSync: true, ...bits }), identity(primary), target('full')],
  ['two unfinished copies', inconsistent(), inconsistent(), { kind: 'waits', why: 'noSource' }],
  [
    'an outdated copy without bits',
    identity({ outdated: true, diskState: 'Outdated' }),
    identity(),
    target('bitmap'),
  ],
];

const behind: Case[] = [
  ['peer went on', identity(), identity(newer), target('bitmap')],
  ['own went on', identity(newer), identity(), source('bitmap')],
  [
    'peer went on, towards another',
    identity(),
    identity({ currentUuid: b, otherBitmapUuids: [a], historyUuids: [a] }),
    target('full', true),
  ],
  [
    'peer went on, long ago',
    identity(),
    identity({ currentUuid: c, historyUuids: [b, a] }),
    target('full', true),
  ],
  ['an unfinished copy goes on', inconsistent(bits), identity(newer), target('bitmap')],
  ['with a full resync left', inconsistent({ fullSync: true }), identity(newer), target('full')],
  [
    'the newer is unfinished',
    identity(),
    inconsistent(newer),
    { kind: 'waits', why: 'newerIsInconsistent' },
  ],
  ['the newer is given up', identity(), inconsistent({ ...newer, ...asked }), source('full', true)],
  [
    'the newer is given up, goes on',
    identity({ bitmapUuid: b }),
    inconsistent({ ...newer, bitmapUuid: 0n, ...asked }),
    source('full'),
  ],
  ['a Primary is behind', identity(primary), identity(newer), splitBrain],
  [
    'a Primary that is the target is behind',
    inconsistent(primary),
    identity(newer),
    target('bitmap'),
  ],
  ['and goes on with what its clients saw', lostSource(b), identity(newer), target('bitmap')],
  [
    'also when that was declared Outdated meanwhile',
    lostSource(b),
    identity({ ...newer, outdated: true, diskState: 'Outdated' }),
    target('bitmap'),
  ],
  [
    'nothing else is taken from a copy that is Outdated',
    inconsistent(),
    identity({ ...newer, outdated: true, diskState: 'Outdated' }),
    { kind: 'waits', why: 'sourceOutdated' },
  ],
  ['not with what was written elsewhere since', lostSource(c), identity(newer), sawOther],
  [
    'not with what may be missing after a crash',
    lostSource(b),
    identity({ ...newer, crashed: true, crashedMachine: true, generation: 9n }),
    sawOther,
  ],
  [
    'also when only its process was killed: writes never acknowledged may differ',
    lostSource(b),
    identity({ ...newer, crashed: true, generation: 9n }),
    sawOther,
  ],
  [
    'with a copy attached again clients have read nothing of it: one that was killed goes on',
    { ...lostSource(b), diskState: 'Negotiating' },
    identity({ ...newer, crashed: true, generation: 9n }),
    target('bitmap'),
    2,
    ['C'],
  ],
  [
    'one that lost its power does not',
    { ...lostSource(b), diskState: 'Negotiating' },
    identity({ ...newer, crashed: true, crashedMachine: true, generation: 9n }),
    sawOther,
  ],
  [
    'but with a copy that crashed before',
    lostSource(b),
    identity({ ...newer, crashed: true }),
    target('bitmap'),
  ],
  [
    'nor with a copy that is behind, too',
    lostSource(b),
    inconsistent(newer),
    { kind: 'waits', why: 'noSource' },
  ],
];

const diverged: Case[] = [
  ['two Primaries', identity(primary), identity(primary), splitBrain],
  [
    'two Primaries, unrelated',
    identity(primary),
    identity({ ...primary, currentUuid: b }),
    splitBrain,
  ],
  ['both went on', identity(mine), identity(theirs), splitBrain],
  [
    'both went on, common history',
    identity({ currentUuid: b, historyUuids: [a] }),
    identity({ currentUuid: c, historyUuids: [a] }),
    splitBrain,
  ],
  [
    'own data given up',
    identity({ ...mine, discardMyData: true }),
    identity({ ...theirs, ...primary }),
    target('bitmap'),
  ],
  [
    'own data given up, no common bitmap',
    identity({ ...mine, bitmapUuid: 0n, discardMyData: true }),
    identity(theirs),
    target('full', true),
  ],
  [
    'both give up',
    identity({ ...mine, discardMyData: true }),
    identity({ ...theirs, discardMyData: true }),
    splitBrain,
  ],
  [
    'a Primary gives up',
    identity({ ...mine, ...primary, discardMyData: true }),
    identity(theirs),
    splitBrain,
  ],
  [
    'given up, then interrupted',
    inconsistent(mine),
    identity({ ...theirs, bitmapUuid: b }),
    target('bitmap'),
  ],
  [
    'an unfinished copy meets a forced one',
    inconsistent({ ...mine, bitmapUuid: 0n }),
    identity(theirs),
    target('full', true),
  ],
  ['an unfinished copy that went on alone', inconsistent(mine), identity(theirs), splitBrain],
  [
    'unfinished and taken back',
    inconsistent({ ...mine, ...asked }),
    identity(theirs),
    target('full', true),
  ],
  ['nothing in common', identity(), identity({ currentUuid: b }), { kind: 'unrelated' }],
  [
    'nothing in common, given up',
    identity({ discardMyData: true }),
    identity({ currentUuid: b }),
    { kind: 'unrelated' },
  ],
];

const reverted: Case[] = [
  ['own went back', identity({ metGeneration: 4n }), identity(), { kind: 'reverted', who: 'own' }],
  [
    'peer went back',
    identity(),
    identity({ metGeneration: 4n }),
    { kind: 'reverted', who: 'peer' },
  ],
  [
    'both went back',
    identity({ metGeneration: 4n }),
    identity({ metGeneration: 4n }),
    { kind: 'reverted', who: 'both' },
  ],
  [
    'taken back',
    inconsistent({ metGeneration: 4n, ...asked }),
    identity(primary),
    target('full', true),
  ],
  [
    'a Primary is not taken back',
    inconsistent({ metGeneration: 4n, ...asked, ...primary }),
    identity(),
    { kind: 'reverted', who: 'own' },
  ],
  [
    'never seen before',
    identity({ rememberedGeneration: 0n }),
    identity({ generation: 1n, metGeneration: 0n }),
    inSync,
  ],
];

const waits: Verdict = { kind: 'waits', why: 'waitsForPrimary' };
const knows = { knowsPrimary: true };
const threeNodes: Case[] = [
  ['Secondaries in sync', identity(knows), identity(), inSync, 3],
  ['Secondaries wait for the Primary', identity(knows), identity(newer), waits, 3],
  ['Secondaries with bits wait', identity({ ...knows, ...bits }), identity(), waits, 3],
  ['UpToDate Secondaries with bits wait for the next', identity(bits), identity(bits), waits, 3],
  [
    'a crashed Secondary does not',
    identity({ ...bits, crashed: true }),
    identity(bits),
    target('bitmap'),
    3,
  ],
  ['bitmaps of Secondaries are not trusted', identity(), identity(newer), target('full', true), 3],
  ["the Primary's bitmap is", identity(), identity({ ...newer, ...primary }), target('bitmap'), 3],
  [
    'one resync at a time',
    inconsistent({ ...bits, resyncsFromOther: true }),
    identity(primary),
    { kind: 'waits', why: 'waitsForOtherResync' },
    3,
  ],
  ['a copy that a Primary feeds joins no other', identity(knows), identity(primary), other, 3],
  ['nor becomes its target', inconsistent({ ...knows, ...bits }), identity(primary), other, 3],
  ['nor its source', identity(knows), inconsistent({ ...primary, ...bits }), other, 3],
  [
    'nor serves it',
    identity(knows),
    identity({ ...primary, diskState: 'Diskless', exposedUuid: a }),
    other,
    3,
  ],
  [
    'both changed it: that is told',
    identity({ ...mine, ...knows }),
    identity({ ...theirs, ...primary }),
    splitBrain,
    3,
  ],
];

const all: [string, readonly Case[]][] = [
  ['sizes', sizes],
  ['just created', created2],
  ['equal generations', equal],
  ['one behind', behind],
  ['diverged', diverged],
  ['reverted', reverted],
  ['three nodes', threeNodes],
];

describe.each(all)('%s', (_name, cases) => {
  test.each(cases.map((row) => [row[0], row] as const))('%s', (_title, row) => {
    const [, own, other, expected, nodes = 2, protocols = PROTOCOLS] = row;
    const peer = { ...other, rank: 1 };
    for (const protocol of protocols) {
      expect(decide(own, peer, nodes, protocol)).toEqual(expected);
      const swapped = swapVerdict(expected);
      expect(sameVerdict(decide(peer, own, nodes, protocol), swapped)).toBe(true);
    }
  });
});
