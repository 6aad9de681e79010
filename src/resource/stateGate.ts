/**
 * The only place where the state of a resource changes: propose, sanitize, validate, commit,
 * notify. Everybody else reads frozen snapshots.
 *
 * A proposal that is not allowed throws InTransition and changes nothing. Listeners run after
 * the commit, in the order they were added; a change that a listener proposes is committed
 * after all of them have seen the first.
 */
import { MirrorError } from '../model/errors';
import type { NodeName, OwnDiskState, OwnRole } from '../model/states';
import { forbids, sanitize, UNKNOWN_PEER } from '../rules/transitions';
import type { PeerState, ResourceState } from '../rules/transitions';

export interface Proposal {
  readonly role?: OwnRole;
  readonly diskState?: OwnDiskState;
  /** Changes of one peer; an unknown name is a new peer. */
  readonly peer?: { readonly name: NodeName; readonly change: Partial<PeerState> };
  readonly removePeer?: NodeName;
}

export type StateListener = (before: ResourceState, after: ResourceState) => void;

export class StateGate {
  private state: ResourceState;
  private readonly listeners: StateListener[] = [];
  private readonly changes: [ResourceState, ResourceState][] = [];
  private notifying = false;

  constructor(diskState: OwnDiskState, peers: readonly NodeName[]) {
    const entries = peers.map((name): [NodeName, PeerState] => [name, UNKNOWN_PEER]);
    this.state = { role: 'Secondary', diskState, peers: new Map(entries) };
  }

  snapshot(): ResourceState {
    return this.state;
  }

  peer(name: NodeName): PeerState {
    return this.state.peers.get(name) ?? UNKNOWN_PEER;
  }

  /** Returns the function that ends it. */
  subscribe(listener: StateListener): () => void {
    this.listeners.push(listener);
    return () => {
      const index = this.listeners.indexOf(listener);
      if (index >= 0) this.listeners.splice(index, 1);
    };
  }

  propose(proposal: Proposal): void {
    const before = this.state;
    const after = sanitize(before, apply(before, proposal));
    const forbidden = forbids(before, after);
    if (forbidden !== undefined) throw new MirrorError('InTransition', forbidden);
    if (sameState(before, after)) return;
    this.state = freeze(after);
    this.changes.push([before, this.state]);
    this.notify();
  }

  private notify(): void {
    if (this.notifying) return;
    this.notifying = true;
    try {
      for (let next = this.changes.shift(); next !== undefined; next = this.changes.shift()) {
        for (const listener of [...this.listeners]) listener(...next);
      }
    } finally {
      this.notifying = false;
    }
  }
}

function apply(before: ResourceState, proposal: Proposal): ResourceState {
  const peers = new Map(before.peers);
  if (proposal.removePeer !== undefined) peers.delete(proposal.removePeer);
  if (proposal.peer !== undefined) {
    const { name, change } = proposal.peer;
    peers.set(name, { ...(peers.get(name) ?? UNKNOWN_PEER), ...change });
  }
  return {
    role: proposal.role ?? before.role,
    diskState: proposal.diskState ?? before.diskState,
    peers,
  };
}

function sameState(a: ResourceState, b: ResourceState): boolean {
  if (a.role !== b.role || a.diskState !== b.diskState || a.peers.size !== b.peers.size) {
    return false;
  }
  return [...a.peers].every(([name, peer]) => {
    const other = b.peers.get(name);
    return other !== undefined && samePeer(peer, other);
  });
}

function samePeer(a: PeerState, b: PeerState): boolean {
  return (
    a.connectionState === b.connectionState &&
    a.reason === b.reason &&
    a.replicationState === b.replicationState &&
    a.role === b.role &&
    a.diskState === b.diskState
  );
}

function freeze(state: ResourceState): ResourceState {
  for (const peer of state.peers.values()) Object.freeze(peer);
  return Object.freeze(state);
}
