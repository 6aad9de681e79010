/**
 * What a resource does by itself when its data plane or a peer tells it something. Events are
 * queued and handled outside of the data plane's callback, in their order.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import { MAX_WAITING_EVENTS } from '../model/limits';
import type { NodeName } from '../model/states';
import type { DeviceEvent } from '../plane/plane';
import { diskStateOf } from '../rules/diskState';
import { makesTarget } from '../rules/handshake';
import type { Verdict } from '../rules/handshake';
import type { Settlement } from '../rules/settlement';
import type { Yields } from '../rules/splitBrain';
import { isResync, isTarget } from '../rules/transitions';
import type { ResourceState } from '../rules/transitions';
import type { Core } from './core';
import type { Fencing } from './fencing';
import type { Frame } from './frames';
import type { PeerConnection, PeerHooks } from './peerConnection';
import type { PeerReview } from './peerReview';
import type { ProgressBoard } from './progress';
import { PromotionDesk } from './promotionDesk';
import type { Refusal } from './words';

/** What waits for its turn among the commands of the resource. */
export interface Orders {
  surrender(peer: NodeName, yields: Yields): void;
  /** The metadata may say more of the copy than the state does. */
  reviewCopy(): void;
}

export class Reactions {
  readonly desk: PromotionDesk;
  private events: DeviceEvent[] = [];

  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
    private readonly review: PeerReview,
    private readonly progress: ProgressBoard,
    private readonly fencing: Fencing,
    private readonly orders: Orders,
  ) {
    core.gate.subscribe((before, after) => this.onState(before, after));
    this.desk = new PromotionDesk(
      core,
      (peer, frame) => this.connections.get(peer)?.send(frame),
      (peer) => this.onConsent(peer),
      (except) =>
        [...connections.values()].find((one) => one.peer !== except && one.meetsPrimary)?.peer,
    );
  }

  hooks(): PeerHooks {
    return {
      connected: (peer, verdict) => this.onConnected(peer, verdict),
      frame: (peer, frame) => this.onFrame(peer, frame),
      resynced: () => this.onResynced(),
      resyncedLate: () => this.orders.reviewCopy(),
      becomesTarget: (peer) => this.stopFeeding(peer),
      beforeFed: (peer) => this.forgetRequests(peer),
      lost: (peer, incarnation) => this.onLost(peer, incarnation),
      standsAlone: (peer, refusal) => this.onStandAlone(peer, refusal),
      splitBrainFound: (peer) => void this.core.handlers.run('initial-split-brain', peer),
      splitBrainSettled: (peer, settlement) => this.onSettled(peer, settlement),
    };
  }

  onEvent(event: DeviceEvent): void {
    if (this.events.length >= MAX_WAITING_EVENTS) this.dropAll();
    this.events.push(event);
    if (this.events.length > 1) return;
    queueMicrotask(() => {
      for (const next of this.events.splice(0)) this.handle(next);
    });
  }

  private dropAll(): void {
    this.events = this.events.filter((event) => !('incarnation' in event));
    for (const connection of this.connections.values()) connection.renegotiate('too many events');
  }

  private handle(event: DeviceEvent): void {
    const { core } = this;
    switch (event.type) {
      case 'generationChanged':
        core.device.supplyUuids([core.environment.random.uuid()]);
        this.review.queue();
        core.report({ type: 'changed' });
        return;
      case 'clientsChanged':
        core.kernel.follow();
        core.report({ type: 'changed' });
        return;
      case 'diskFailed':
        this.onDiskFailed(event.detail);
        return;
      case 'ioError':
        core.report({ type: 'failed', error: new MirrorError('Failed', event.detail) });
        return;
      default:
        this.connectionAt(event.slot)?.onEvent(event);
    }
  }

  private onDiskFailed(detail: string): void {
    const { core } = this;
    core.gate.propose({ diskState: 'Failed' });
    core.report({ type: 'failed', error: new MirrorError('NotAttached', detail) });
    if (core.config.onIoError === 'call-local-io-error') void core.handlers.run('local-io-error');
    core.gate.propose({ diskState: 'Diskless' });
  }

  private connectionAt(slot: number): PeerConnection | undefined {
    const record = this.core.device.metadata().peers.find((candidate) => candidate.slot === slot);
    return record === undefined ? undefined : this.connections.get(record.name);
  }

  private onConnected(peer: NodeName, verdict: Verdict): void {
    this.review.connected(peer, verdict);
    if (verdict.kind === 'inSync') this.forgetCrash();
    if (verdict.kind !== 'inSync' && verdict.kind !== 'resync') return;
    this.fencing.returned(peer);
    if (makesTarget(verdict) || this.core.gate.snapshot().diskState !== 'Consistent') return;
    this.core.gate.propose({ diskState: diskStateOf(this.core.device.metadata()) });
  }

  private onFrame(peer: NodeName, frame: Frame): void {
    switch (frame.type) {
      case 'state':
        this.onPeerState(peer, frame);
        return;
      case 'commit':
        // Its state comes after it.
        this.core.gate.propose({ peer: { name: peer, change: { role: 'Primary' } } });
        this.desk.onFrame(peer, frame);
        return;
      case 'prepare':
      case 'consent':
      case 'refuse':
      case 'abort':
        this.desk.onFrame(peer, frame);
        return;
      case 'farewell':
        this.fencing.leaves(peer);
        return;
      default:
        this.connections.get(peer)?.renegotiate(`protocol error: ${frame.type} came too late`);
    }
  }

  private onPeerState(peer: NodeName, frame: Extract<Frame, { readonly type: 'state' }>): void {
    const { role, diskState } = frame.facts;
    const { gate } = this.core;
    if (role === 'Primary' && gate.snapshot().role === 'Primary') {
      this.connections.get(peer)?.renegotiate('both nodes are Primary');
      return;
    }
    gate.propose({ peer: { name: peer, change: { role, diskState } } });
    this.review.heard(peer, frame.facts);
  }

  private onResynced(): void {
    const { gate, device } = this.core;
    if (this.core.hasDisk) {
      gate.propose({ diskState: diskStateOf(device.metadata()) });
    }
    this.review.queue();
    this.forgetCrash();
  }

  /** Once nothing is out of sync any more, it no longer matters who crashed. */
  private forgetCrash(): void {
    const { device } = this.core;
    const left = device.statistics().peers.some((peer) => peer.outOfSyncBytes > 0n);
    if (left || !device.metadata().crashed) return;
    this.core.updateMetadata({ crashed: false }).catch((error: unknown) => {
      this.core.report({ type: 'failed', error: toMirrorError(error) });
    });
  }

  private onLost(peer: NodeName, incarnation: number | undefined): void {
    if (incarnation !== undefined) this.fencing.lost(peer, incarnation);
    this.review.lost(peer);
    this.desk.onLost(peer);
    this.progress.of(peer).clear();
  }

  private onStandAlone(peer: NodeName, refusal: Refusal): void {
    if (refusal.code !== 'SplitBrain') return;
    this.core.report({ type: 'splitBrain', peer, message: refusal.message });
    void this.core.handlers.run('split-brain', peer);
    if (refusal.yields !== undefined) this.orders.surrender(peer, refusal.yields);
  }

  /** What is lost for good, and why, is told on both nodes. */
  private onSettled(peer: NodeName, { loser, by, lostBytes }: Settlement): void {
    const { name, node } = this.core;
    const [lost, kept] = loser === 'own' ? [node, peer] : [peer, node];
    const message =
      `${node} and ${peer} both changed ${name} without each other; settled by ${by}: ${lost} ` +
      `gives up what it wrote, at most ${lostBytes} bytes, and becomes a copy of ${kept}`;
    this.core.report({ type: 'settled', peer, message });
  }

  /** Handlers of resyncs that have finished. */
  private onState(before: ResourceState, after: ResourceState): void {
    for (const [peer, { replicationState }] of after.peers) {
      const earlier = before.peers.get(peer)?.replicationState ?? 'Off';
      if (replicationState !== 'Established' || !isResync(earlier)) continue;
      const name = isTarget(earlier) ? 'after-resync-target' : 'unfence-peer';
      if (name === 'unfence-peer' && !this.fencing.active) continue;
      void this.core.handlers.run(name, peer);
    }
  }

  private onConsent(promoted: NodeName): void {
    this.forgetRequests(promoted);
    this.stopIdleResyncs(promoted);
  }

  /** Orders to give this copy up for a third node's were about what it had before it is fed. */
  private forgetRequests(source: NodeName): void {
    for (const [peer, connection] of this.connections) {
      if (peer !== source) connection.forgetRequests();
    }
  }

  /** Who will be Primary does the copying: resyncs with third nodes stop. */
  private stopIdleResyncs(promoted: NodeName): void {
    for (const [peer, state] of this.core.gate.snapshot().peers) {
      if (peer === promoted || !isResync(state.replicationState)) continue;
      this.connections.get(peer)?.renegotiate(`${promoted} is being promoted`);
    }
  }

  /** A target is no source. */
  private stopFeeding(source: NodeName): void {
    for (const [peer, state] of this.core.gate.snapshot().peers) {
      if (peer === source || !isResync(state.replicationState)) continue;
      this.connections.get(peer)?.renegotiate(`this copy is resynced from ${source}`);
    }
  }
}
