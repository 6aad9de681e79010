/**
 * After each change: tells the peers what they should know of this node, and drops connections
 * whose verdict no longer holds, so that they are negotiated anew.
 *
 * Never acts inside the change itself: reviews are queued and coalesced.
 */
import type { DiskState, NodeName, Role, Uuid } from '../model/states';
import type { Verdict } from '../rules/handshake';
import { isAttached, isResync } from '../rules/transitions';
import type { Core } from './core';
import type { StateFacts } from './frames';
import type { PeerConnection } from './peerConnection';
import { reviewUntouched } from './untouched';

interface Settled {
  readonly verdict: Verdict;
  /** This node's facts when the verdict was acted on. */
  readonly own: string;
  /** The peer's, as its first state frame gave them. */
  peer?: string;
  sent?: string;
  /** The generation of this copy when they agreed last, and the peer's when it spoke last. */
  agreedUuid?: Uuid;
  peerUuid?: Uuid;
  /** The peer's facts changed since. */
  stale: boolean;
}

export class PeerReview {
  private readonly settled = new Map<NodeName, Settled>();
  private queued = false;

  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
  ) {}

  connected(peer: NodeName, verdict: Verdict): void {
    const own = factsKey(this.core.facts(peer));
    this.settled.set(peer, { verdict, own, stale: false });
    this.queue();
  }

  lost(peer: NodeName): void {
    this.settled.delete(peer);
  }

  /** A state frame arrived. */
  heard(peer: NodeName, facts: StateFacts): void {
    const settled = this.settled.get(peer);
    if (settled === undefined) return;
    const key = factsKey(facts);
    if (settled.peer !== undefined && settled.peer !== key) settled.stale = true;
    settled.peer = key;
    settled.peerUuid = facts.currentUuid;
    this.queue();
  }

  queue(): void {
    if (this.queued) return;
    this.queued = true;
    queueMicrotask(() => {
      this.queued = false;
      if (!this.core.closing) this.review();
    });
  }

  private review(): void {
    for (const [peer, settled] of [...this.settled]) {
      const connection = this.connections.get(peer);
      if (connection?.isConnected !== true) continue;
      const facts = this.core.facts(peer);
      const key = factsKey(facts);
      if (settled.sent !== key) connection.send({ type: 'state', facts });
      settled.sent = key;
      const reason = this.outdated(peer, settled, key);
      if (reason !== undefined) connection.renegotiate(reason);
    }
    reviewUntouched(this.core, this.connections.values());
  }

  /** Both have a disk, or one is a Primary without and is served by the other. */
  private diskHolds({ kind }: Verdict, peerRole: Role, peerDisk: DiskState): boolean {
    const { role, diskState } = this.core.gate.snapshot();
    const own = isAttached(diskState);
    const other = isAttached(peerDisk);
    if (own && other) return kind !== 'served';
    return own ? peerRole === 'Primary' : role === 'Primary' && other;
  }

  /** Why the verdict no longer holds. */
  private outdated(peer: NodeName, settled: Settled, own: string): string | undefined {
    const { gate } = this.core;
    const idle = settled.verdict.kind === 'waits' || settled.verdict.kind === 'bothJustCreated';
    if (idle) return settled.stale || own !== settled.own ? 'the states changed' : undefined;
    const { role, replicationState, diskState } = gate.peer(peer);
    if (!this.diskHolds(settled.verdict, role, diskState)) return 'a backing disk came or went';
    const secondaries = role !== 'Primary' && gate.snapshot().role !== 'Primary';
    if (secondaries && this.core.config.nodes.length > 2 && replicationState === 'Established') {
      if (this.misses(peer)) return 'the peer misses what a Primary wrote';
      if (this.hasLeft(peer, settled)) return 'this copy is filled from another node';
    }
    const yields = secondaries && isResync(replicationState) && this.core.knowsPrimary(peer);
    return yields ? 'the Primary resyncs' : undefined;
  }

  /** Of Secondaries that were in sync this one takes over what a third, no Primary, has. */
  private hasLeft(peer: NodeName, settled: Settled): boolean {
    const { currentUuid, knowsPrimary, resyncsFromOther } = this.core.facts(peer);
    if (currentUuid === settled.peerUuid) settled.agreedUuid = currentUuid;
    settled.agreedUuid ??= currentUuid;
    if (knowsPrimary) return false;
    return resyncsFromOther || currentUuid !== settled.agreedUuid;
  }

  /** Of Secondaries that were in sync a Primary goes on with this one only, as it has told. */
  private misses(peer: NodeName): boolean {
    return (this.core.peerStatistics(peer)?.outOfSyncBytes ?? 0n) > 0n;
  }
}

function factsKey(facts: StateFacts): string {
  const { role, diskState, currentUuid, knowsPrimary, resyncsFromOther } = facts;
  return `${role} ${diskState} ${currentUuid} ${knowsPrimary} ${resyncsFromOther}`;
}
