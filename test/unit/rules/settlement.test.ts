// What settled a split brain, by every way there is.

import { NO_POLICIES } from '../../../src/model/policies';
import type { SplitBrainPolicies } from '../../../src/model/policies';
import type { Identity } from '../../../src/rules/identity';
import { findSplitBrain } from '../../../src/rules/settlement';
import { mirrorZero } from '../../../src/rules/splitBrain';
import { GENERATIONS, identity } from '../../support/identities';

const { a, b, c } = GENERATIONS;
const mine = identity({ currentUuid: b, bitmapUuid: a, historyUuids: [a], outOfSyncBytes: 4096n });
const theirs = identity({
  currentUuid: c,
  bitmapUuid: a,
  historyUuids: [a],
  rank: 1,
  outOfSyncBytes: 8192n,
});
const primary = { role: 'Primary' } as const;

function found(
  policies: Partial<SplitBrainPolicies>,
  own: Partial<Identity> = {},
  peer: Partial<Identity> = {},
): string {
  const ownPolicies = { ...NO_POLICIES, ...policies };
  const peerPolicies = { ...ownPolicies, zero: mirrorZero(ownPolicies.zero) };
  const left = { ...mine, ...own, policies: ownPolicies };
  const right = { ...theirs, ...peer, policies: peerPolicies };
  const [here, there] = [findSplitBrain(left, right, 2, 'C'), findSplitBrain(right, left, 2, 'C')];
  if (typeof here !== 'object' || typeof there !== 'object') {
    expect(there).toEqual(here);
    return here === undefined ? 'none' : 'undecided';
  }
  expect(there.loser).not.toBe(here.loser);
  expect(there.lostBytes).toBe(here.lostBytes);
  return `${here.loser} loses ${here.lostBytes} by ${here.by}`;
}

test.each([
  [{}, {}, {}, 'undecided'],
  [{ zero: 'discard-local' }, {}, {}, 'own loses 4096 by after-sb-0pri = discard-local'],
  [{ zero: 'discard-remote' }, {}, {}, 'peer loses 8192 by after-sb-0pri = discard-remote'],
  [
    { one: 'discard-secondary' },
    primary,
    {},
    'peer loses 8192 by after-sb-1pri = discard-secondary',
  ],
  [
    { one: 'consensus', zero: 'discard-local' },
    {},
    primary,
    'own loses 4096 by after-sb-1pri = consensus, after-sb-0pri = discard-local',
  ],
  [{ one: 'violently-as0p', zero: 'discard-local' }, primary, {}, 'undecided'],
  [{ two: 'violently-as0p', zero: 'discard-local' }, primary, primary, 'undecided'],
  [{}, { discardMyData: true }, {}, 'own loses 4096 by --discard-my-data'],
  [{ zero: 'discard-remote' }, { discardMyData: true }, {}, 'own loses 4096 by --discard-my-data'],
  [{}, { discardMyData: true }, { discardMyData: true }, 'undecided'],
] as const)('%j, %p and %p: %s', (policies, own, peer, expected) => {
  expect(found(policies, own, peer)).toBe(expected);
});

test('where nothing was changed on one side there is no split brain, whatever was asked', () => {
  const behind = { currentUuid: a, bitmapUuid: 0n } as const;
  expect(found({ zero: 'discard-local' }, behind, { historyUuids: [a] })).toBe('none');
  const equal = { currentUuid: b, bitmapUuid: 0n } as const;
  expect(found({}, { ...equal, discardMyData: true }, equal)).toBe('none');
});

test('a fully unknown copy may lose all of it', () => {
  const sizeBytes = mine.sizeBytes;
  const lost = `own loses ${sizeBytes} by after-sb-0pri = discard-local`;
  expect(found({ zero: 'discard-local' }, { fullSync: true })).toBe(lost);
});
