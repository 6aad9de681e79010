/**
 * Which states of a resource go together. The state gate sanitizes every proposal (a change
 * that follows from another is made here) and then validates it.
 */
import type {
  ConnectionState,
  DiskState,
  NodeName,
  OwnDiskState,
  OwnRole,
  ReplicationState,
  Role,
} from '../model/states';

export interface PeerState {
  readonly connectionState: ConnectionState;
  /** Why it is not connected, or not replicating; empty: nothing to say. */
  readonly reason: string;
  readonly replicationState: ReplicationState;
  readonly role: Role;
  readonly diskState: DiskState;
}

export interface ResourceState {
  readonly role: OwnRole;
  readonly diskState: OwnDiskState;
  readonly peers: ReadonlyMap<NodeName, PeerState>;
}

export const UNKNOWN_PEER: PeerState = {
  connectionState: 'StandAlone',
  reason: '',
  replicationState: 'Off',
  role: 'Unknown',
  diskState: 'DUnknown',
};

const TARGET_STATES: readonly ReplicationState[] = ['WFBitMapT', 'SyncTarget', 'PausedSyncT'];
const SOURCE_STATES: readonly ReplicationState[] = ['WFBitMapS', 'SyncSource', 'PausedSyncS'];
const NO_DISK: readonly DiskState[] = ['Diskless', 'Failed', 'Detaching', 'Attaching'];
const GONE: readonly DiskState[] = ['Diskless', 'Failed'];

export function isAttached(diskState: DiskState): boolean {
  return !NO_DISK.includes(diskState);
}

export function isTarget(state: ReplicationState): boolean {
  return TARGET_STATES.includes(state);
}

export function isSource(state: ReplicationState): boolean {
  return SOURCE_STATES.includes(state);
}

export function isResync(state: ReplicationState): boolean {
  return isTarget(state) || isSource(state);
}

/** Makes what follows from the proposal follow. */
export function sanitize(before: ResourceState, proposed: ResourceState): ResourceState {
  const own = ownDiskState(before.diskState, proposed.diskState);
  const lost = NO_DISK.includes(own);
  const peers = new Map<NodeName, PeerState>();
  for (const [name, peer] of proposed.peers) peers.set(name, sanitizePeer(peer, lost));
  const target = [...peers.values()].some((peer) => isTarget(peer.replicationState));
  const diskState = target && !lost ? 'Inconsistent' : own;
  return { role: proposed.role, diskState, peers };
}

/** A disk that is gone comes back by `attach` alone, whatever was about to be said of its copy. */
function ownDiskState(before: OwnDiskState, proposed: OwnDiskState): OwnDiskState {
  const stays = GONE.includes(before) && isAttached(proposed);
  return stays ? before : proposed;
}

function sanitizePeer(peer: PeerState, diskLost: boolean): PeerState {
  if (peer.connectionState !== 'Connected') {
    return { ...UNKNOWN_PEER, connectionState: peer.connectionState, reason: peer.reason };
  }
  // An Established peer goes on serving a Primary whose disk is gone.
  if (diskLost && isResync(peer.replicationState)) return { ...peer, replicationState: 'Off' };
  if (isSource(peer.replicationState)) return { ...peer, diskState: 'Inconsistent' };
  return peer;
}

/** undefined when `after` may follow `before`, else what forbids it. */
export function forbids(before: ResourceState, after: ResourceState): string | undefined {
  return forbidsRole(before, after) ?? forbidsReplication(after);
}

function forbidsRole(before: ResourceState, after: ResourceState): string | undefined {
  const promoted = before.role !== 'Primary' && after.role === 'Primary';
  if (promoted && NO_DISK.includes(after.diskState)) return 'a Primary begins with a disk';
  if (after.role !== 'Primary') return undefined;
  const other = [...after.peers].find(([, peer]) => isConnectedPrimary(peer));
  return other === undefined ? undefined : `two Primaries are connected: this node and ${other[0]}`;
}

function isConnectedPrimary(peer: PeerState): boolean {
  return peer.connectionState === 'Connected' && peer.role === 'Primary';
}

function forbidsReplication(after: ResourceState): string | undefined {
  const peers = [...after.peers.entries()];
  const sources = peers.filter(([, peer]) => isTarget(peer.replicationState));
  if (sources.length > 1) return 'a copy has one source at a time';
  const fed = peers.find(([, peer]) => isSource(peer.replicationState));
  if (fed === undefined) return undefined;
  if (after.diskState === 'UpToDate' || after.diskState === 'Consistent') return undefined;
  return `a copy that is ${after.diskState} is no source for ${fed[0]}`;
}
