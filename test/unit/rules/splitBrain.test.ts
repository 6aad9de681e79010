// The policies for split brain: every policy over every pair of roles and histories.

import {
  CONFLICT_POLICIES,
  NO_POLICIES,
  ONE_POLICIES,
  policiesTowards,
  TWO_POLICIES,
  ZERO_POLICIES,
} from '../../../src/model/policies';
import type { SplitBrainPolicies } from '../../../src/model/policies';
import type { NodeName } from '../../../src/model/states';
import { decide, sameVerdict, swapVerdict } from '../../../src/rules/handshake';
import type { Verdict } from '../../../src/rules/handshake';
import type { Identity } from '../../../src/rules/identity';
import { mirrorZero, policyConflict } from '../../../src/rules/splitBrain';
import { GENERATIONS, identity, product } from '../../support/identities';

const { a, b, c } = GENERATIONS;
/** Both went on from `a`. */
const mine = identity({ currentUuid: b, bitmapUuid: a, historyUuids: [a] });
const theirs = identity({ currentUuid: c, bitmapUuid: a, historyUuids: [a], rank: 1 });

/** Who loses, in short: `own discards`, `peer yields by force`, `disconnect`. */
function words(verdict: Verdict): string {
  if (verdict.kind === 'splitBrain') return 'disconnect';
  if (verdict.kind === 'yields') {
    return `${verdict.who} yields ${verdict.force ? 'by force' : `to ${verdict.handler}`}`;
  }
  if (verdict.kind !== 'resync') return verdict.kind;
  return `${verdict.direction === 'target' ? 'own' : 'peer'} discards by ${verdict.by}`;
}

function outcome(
  policies: Partial<SplitBrainPolicies>,
  own: Partial<Identity> = {},
  peer: Partial<Identity> = {},
): string {
  const ownPolicies = { ...NO_POLICIES, ...policies };
  const peerPolicies = { ...ownPolicies, zero: mirrorZero(ownPolicies.zero) };
  const left = { ...mine, ...own, policies: ownPolicies };
  const right = { ...theirs, ...peer, policies: peerPolicies };
  const verdict = decide(left, right, 2, 'C');
  expect(sameVerdict(swapVerdict(verdict), decide(right, left, 2, 'C'))).toBe(true);
  return words(verdict);
}

const primary = { role: 'Primary' } as const;
const wrote = (bytes: bigint): Partial<Identity> => ({ outOfSyncBytes: bytes });

test.each([
  ['disconnect', wrote(0n), wrote(8192n), 'disconnect'],
  ['discard-younger-primary', { promotedApart: true }, {}, 'own discards by bitmap'],
  ['discard-younger-primary', {}, { promotedApart: true }, 'peer discards by bitmap'],
  ['discard-older-primary', { promotedApart: true }, {}, 'peer discards by bitmap'],
  ['discard-older-primary', {}, { promotedApart: true }, 'own discards by bitmap'],
  // Without an older one: the copy with fewer changes.
  ['discard-younger-primary', wrote(1n), wrote(2n), 'own discards by bitmap'],
  ['discard-older-primary', wrote(2n), wrote(1n), 'peer discards by bitmap'],
  ['discard-zero-changes', wrote(0n), wrote(4096n), 'own discards by bitmap'],
  ['discard-zero-changes', wrote(4096n), wrote(0n), 'peer discards by bitmap'],
  ['discard-zero-changes', wrote(4096n), wrote(8192n), 'disconnect'],
  ['discard-zero-changes', wrote(0n), wrote(0n), 'peer discards by bitmap'],
  ['discard-zero-changes', { fullSync: true }, wrote(4096n), 'disconnect'],
  ['discard-least-changes', wrote(4096n), wrote(8192n), 'own discards by bitmap'],
  ['discard-least-changes', wrote(8192n), wrote(4096n), 'peer discards by bitmap'],
  ['discard-least-changes', wrote(4096n), wrote(4096n), 'peer discards by bitmap'],
  ['discard-local', {}, {}, 'own discards by bitmap'],
  ['discard-remote', {}, {}, 'peer discards by bitmap'],
] as const)('no Primary, %s: %p and %p: %s', (zero, own, peer, expected) => {
  expect(outcome({ zero }, own, peer)).toBe(expected);
});

const loses = { zero: 'discard-local' } as const;
const wins = { zero: 'discard-remote' } as const;

test.each([
  ['disconnect', loses, primary, {}, 'disconnect'],
  ['disconnect', loses, {}, primary, 'disconnect'],
  ['consensus', loses, {}, primary, 'own discards by bitmap'],
  ['consensus', loses, primary, {}, 'disconnect'],
  ['consensus', wins, {}, primary, 'disconnect'],
  ['consensus', {}, {}, primary, 'disconnect'],
  ['violently-as0p', loses, {}, primary, 'own discards by bitmap'],
  ['violently-as0p', loses, primary, {}, 'own yields by force'],
  ['violently-as0p', wins, {}, primary, 'peer yields by force'],
  ['violently-as0p', {}, primary, {}, 'disconnect'],
  ['discard-secondary', wins, {}, primary, 'own discards by bitmap'],
  ['discard-secondary', {}, primary, {}, 'peer discards by bitmap'],
  ['call-pri-lost-after-sb', loses, {}, primary, 'own discards by bitmap'],
  ['call-pri-lost-after-sb', loses, primary, {}, 'own yields to pri-lost-after-sb'],
  ['call-pri-lost-after-sb', {}, primary, {}, 'disconnect'],
] as const)('one Primary, %s with %p: %p and %p: %s', (one, zero, own, peer, expected) => {
  expect(outcome({ one, ...zero }, own, peer)).toBe(expected);
});

test.each([
  ['disconnect', loses, 'disconnect'],
  ['violently-as0p', loses, 'own yields by force'],
  ['violently-as0p', wins, 'peer yields by force'],
  ['violently-as0p', {}, 'disconnect'],
  ['call-pri-lost-after-sb', loses, 'own yields to pri-lost-after-sb'],
  ['call-pri-lost-after-sb', {}, 'disconnect'],
] as const)('two Primaries, %s with %p: %s', (two, zero, expected) => {
  expect(outcome({ two, ...zero }, primary, primary)).toBe(expected);
});

test('two Primaries of one generation fall under the policy for two', () => {
  const same = { currentUuid: b, bitmapUuid: 0n, ...primary };
  expect(outcome({ two: 'violently-as0p', ...wins }, same, same)).toBe('peer yields by force');
  expect(outcome({ ...wins }, same, same)).toBe('disconnect');
});

test.each([
  ['disconnect', 'disconnect'],
  ['violently', 'own yields by force'],
  ['call-pri-lost', 'own yields to pri-lost'],
] as const)('a Primary that wrote nothing meets a newer copy, %s: %s', (conflict, expected) => {
  const behind = { ...primary, currentUuid: a, bitmapUuid: 0n };
  expect(outcome({ conflict }, behind, { historyUuids: [a] })).toBe(expected);
});

test('what an administrator asked for goes before the policies', () => {
  expect(outcome(wins, { discardMyData: true })).toBe('own discards by bitmap');
  const both = { discardMyData: true };
  expect(outcome(wins, both, both)).toBe('disconnect');
  const behind = { ...primary, currentUuid: a, bitmapUuid: 0n };
  expect(outcome({}, behind, both)).toBe('peer discards by bitmap');
});

test('without common bitmaps only always-asbp lets the policies decide, and all is copied', () => {
  const strange = [
    { bitmapUuid: 0n, historyUuids: [a] },
    { bitmapUuid: 0n, historyUuids: [a] },
  ] as const;
  expect(outcome(loses, ...strange)).toBe('disconnect');
  expect(outcome({ ...loses, always: true }, ...strange)).toBe('own discards by full');
});

test('a copy that cannot be a source decides nothing', () => {
  const broken = { consistent: false, diskState: 'Inconsistent' } as const;
  expect(outcome(loses, {}, broken)).toBe('disconnect');
});

test('reverted and unrelated copies are no matter of policies', () => {
  const all = { ...wins, one: 'violently-as0p', two: 'violently-as0p', always: true } as const;
  expect(outcome(all, { metGeneration: 4n })).toBe('reverted');
  expect(outcome(all, { metGeneration: 4n, ...primary }, primary)).toBe('disconnect');
  const strange = { bitmapUuid: 0n, historyUuids: [] };
  expect(outcome(all, strange, strange)).toBe('unrelated');
});

const everyPolicy: SplitBrainPolicies[] = ZERO_POLICIES.flatMap((zero) =>
  ONE_POLICIES.flatMap((one) =>
    TWO_POLICIES.flatMap((two) =>
      CONFLICT_POLICIES.map((conflict) => ({ zero, one, two, conflict, always: false })),
    ),
  ),
);
const copies = product(
  [{ role: 'Primary' }, { role: 'Secondary' }],
  [{ promotedApart: false }, { promotedApart: true }],
  [0n, 4096n, 8192n].map((outOfSyncBytes) => ({ outOfSyncBytes })),
  [
    { currentUuid: b, bitmapUuid: a, historyUuids: [a] },
    { currentUuid: a, bitmapUuid: 0n },
  ],
);

test('every policy over every pair: both decide the same, with opposite sides', () => {
  const complaints = new Set<string>();
  for (const policies of everyPolicy) {
    const mirrored = { ...policies, zero: mirrorZero(policies.zero) };
    for (const one of copies) {
      for (const other of copies) {
        const own = { ...one, policies };
        const currentUuid = other.currentUuid === b ? c : a;
        const peer = { ...other, currentUuid, rank: 1, policies: mirrored };
        const verdict = decide(own, peer, 2, 'C');
        if (!sameVerdict(swapVerdict(verdict), decide(peer, own, 2, 'C'))) complaints.add('differ');
        if (verdict.kind !== 'resync') continue;
        const target = verdict.direction === 'target' ? own : peer;
        if (target.role === 'Primary') complaints.add('a Primary is overwritten');
      }
    }
  }
  expect([...complaints]).toEqual([]);
});

test('policies that differ decide nothing', () => {
  const own = { ...mine, policies: { ...NO_POLICIES, zero: 'discard-local' as const } };
  expect(words(decide(own, theirs, 2, 'C'))).toBe('disconnect');
  expect(policyConflict(own.policies, own.policies)).toBe('zero');
  expect(policyConflict(own.policies, { ...NO_POLICIES, zero: 'discard-remote' })).toBeUndefined();
  expect(policyConflict(NO_POLICIES, { ...NO_POLICIES, one: 'consensus' })).toBe('one');
});

test('discard-node-NAME is local there and remote elsewhere', () => {
  const [alpha, beta, gamma] = ['alpha', 'beta', 'gamma'] as NodeName[] as [
    NodeName,
    NodeName,
    NodeName,
  ];
  const configured = { ...NO_POLICIES, discardNode: beta };
  expect(policiesTowards(configured, beta, alpha).zero).toBe('discard-local');
  expect(policiesTowards(configured, alpha, beta).zero).toBe('discard-remote');
  expect(policiesTowards(configured, alpha, gamma).zero).toBe('disconnect');
});
