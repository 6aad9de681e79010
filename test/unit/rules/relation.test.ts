// How two copies are related where one was given up for the other: what the other notes of it says
// nothing about a third copy, nor about this one once it is whole again.

import { relate } from '../../../src/rules/relation';
import type { Relation } from '../../../src/rules/relation';
import type { Identity } from '../../../src/rules/identity';
import { GENERATIONS, identity, inconsistent } from '../../support/identities';

const { a, b, c } = GENERATIONS;
const mine = { currentUuid: b, historyUuids: [a] };
const theirs = { currentUuid: c, historyUuids: [a] };
const diverged: Relation = { kind: 'diverged', cover: 'full' };

const meetings: [string, Identity, Identity, Relation][] = [
  [
    'unfinished',
    inconsistent(mine),
    identity({ ...theirs, bitmapUuid: b }),
    { kind: 'behind', who: 'own', cover: 'bitmap' },
  ],
  ['whole again', identity(mine), identity({ ...theirs, bitmapUuid: b }), diverged],
  [
    'whole again, and gone on',
    identity({ currentUuid: 0xdn, bitmapUuid: b, historyUuids: [b, a] }),
    identity({ ...theirs, bitmapUuid: b }),
    diverged,
  ],
  ['another, unfinished', identity(mine), identity({ ...theirs, otherBitmapUuids: [b] }), diverged],
  [
    'another, and the peer went on from there as well',
    identity(mine),
    identity({ currentUuid: c, historyUuids: [b, a], otherBitmapUuids: [b] }),
    { kind: 'behind', who: 'own', cover: 'full' },
  ],
];

test.each(meetings)('given up before: %s', (_name, own, peer, relation) => {
  expect(relate(own, peer)).toEqual(relation);
});
