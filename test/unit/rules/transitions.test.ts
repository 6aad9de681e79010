// Which states go together: what sanitize makes follow, and what is forbidden.

import { CONNECTION_STATES, DISK_STATES, REPLICATION_STATES } from '../../../src/model/states';
import type { NodeName } from '../../../src/model/states';
import { diskStateOf } from '../../../src/rules/diskState';
import { forbids, isResync, sanitize, UNKNOWN_PEER } from '../../../src/rules/transitions';
import type { PeerState, ResourceState } from '../../../src/rules/transitions';

const beta = 'beta' as NodeName;
const gamma = 'gamma' as NodeName;
const connected: PeerState = {
  connectionState: 'Connected',
  reason: '',
  replicationState: 'Established',
  role: 'Secondary',
  diskState: 'UpToDate',
};

function state(changes: Partial<ResourceState>, ...peers: PeerState[]): ResourceState {
  const names = [beta, gamma];
  const map = new Map(peers.map((peer, index) => [names[index] ?? beta, peer]));
  return { role: 'Secondary', diskState: 'UpToDate', peers: map, ...changes };
}

const connections = CONNECTION_STATES.filter((name) => name !== 'Connected');

test.each(connections)('nothing is known of a peer that is %s', (connectionState) => {
  const after = sanitize(state({}), state({}, { ...connected, connectionState, reason: 'why' }));
  expect(after.peers.get(beta)).toEqual({ ...UNKNOWN_PEER, connectionState, reason: 'why' });
});

test.each(REPLICATION_STATES)('%s and the disk states of both', (replicationState) => {
  const after = sanitize(state({}), state({}, { ...connected, replicationState }));
  const target = ['WFBitMapT', 'SyncTarget', 'PausedSyncT'].includes(replicationState);
  const source = isResync(replicationState) && !target;
  expect(after.diskState).toBe(target ? 'Inconsistent' : 'UpToDate');
  expect(after.peers.get(beta)?.diskState).toBe(source ? 'Inconsistent' : 'UpToDate');
});

test.each(REPLICATION_STATES)('%s when the disk fails', (replicationState) => {
  const after = sanitize(
    state({}),
    state({ diskState: 'Failed' }, { ...connected, replicationState }),
  );
  const ends = isResync(replicationState);
  expect(after.peers.get(beta)?.replicationState).toBe(ends ? 'Off' : replicationState);
  expect(after.diskState).toBe('Failed');
});

test.each(['Failed', 'Diskless'] as const)('from %s only attach leads back', (diskState) => {
  const before = state({ diskState });
  for (const other of ['UpToDate', 'Inconsistent', 'Outdated', 'Negotiating'] as const) {
    expect(sanitize(before, state({ diskState: other })).diskState).toBe(diskState);
  }
  expect(sanitize(before, state({ diskState: 'Attaching' })).diskState).toBe('Attaching');
  expect(sanitize(before, state({ diskState: 'Diskless' })).diskState).toBe('Diskless');
});

const ownStates = DISK_STATES.filter((name) => name !== 'DUnknown');

test.each(ownStates)('a SyncSource whose own disk is %s', (diskState) => {
  const after = state({ diskState }, { ...connected, replicationState: 'SyncSource' });
  const allowed = diskState === 'UpToDate' || diskState === 'Consistent';
  expect(forbids(state({}), after) === undefined).toBe(allowed);
});

test('two connected Primaries are forbidden', () => {
  const other = { ...connected, role: 'Primary' } as const;
  expect(forbids(state({}), state({ role: 'Primary' }, other))).toMatch(/two Primaries/);
  expect(forbids(state({}), state({}, other))).toBeUndefined();
});

test('a copy has one source at a time', () => {
  const source = { ...connected, replicationState: 'SyncTarget' } as const;
  const after = sanitize(state({}), state({}, source, source));
  expect(forbids(state({}), after)).toMatch(/one source/);
});

test('a Primary begins with a disk and goes on without', () => {
  const before = state({});
  const after = state({ role: 'Primary', diskState: 'Failed' });
  expect(forbids(before, after)).toMatch(/with a disk/);
  expect(forbids(state({ role: 'Primary' }), after)).toBeUndefined();
});

const flags = { currentUuid: 9n, consistent: true, wasUpToDate: true, outdated: false };
test.each([
  [{}, 'UpToDate'],
  [{ currentUuid: 4n }, 'Inconsistent'],
  [{ consistent: false }, 'Inconsistent'],
  [{ outdated: true }, 'Outdated'],
  [{ wasUpToDate: false }, 'Consistent'],
])('metadata with %p is %s', (changes, expected) => {
  expect(diskStateOf({ ...flags, ...changes })).toBe(expected);
});
