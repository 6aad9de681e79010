/**
 * resync and invalidate (DESIGN section 1). Neither copies anything itself: it makes durable
 * what is wanted and connects anew; the handshake does the rest.
 */
import { MirrorError } from '../model/errors';
import type { NodeName } from '../model/states';
import { isSource, isTarget } from '../rules/transitions';
import type { Core } from './core';
import type { ResyncRequest, ResyncRun } from './device';
import { refuseGivingUp } from './givingUp';
import type { PeerConnection } from './peerConnection';
import type { Progress } from './progress';
import { finishedRun, watchResync } from './resyncRun';
import { settleAll } from './settling';

export class ResyncCommands {
  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
    private readonly progressOf: (peer: NodeName) => Progress,
  ) {}

  async resync(request: ResyncRequest): Promise<ResyncRun> {
    if (request.from !== undefined && request.to !== undefined) {
      throw new MirrorError('InvalidArgs', 'from and to exclude each other: name one of them');
    }
    if (request.to !== undefined) return this.resyncTo(request.to, request.full);
    if (this.core.gate.snapshot().role === 'Primary') throw this.refusePrimary();
    return request.full ? this.resyncFull(request.from) : this.resyncChanged(request.from);
  }

  async invalidate(): Promise<void> {
    if (this.core.gate.snapshot().role === 'Primary') {
      const message = `${this.core.name} is Primary here: demote it before its copy is given up`;
      throw new MirrorError('InvalidArgs', message);
    }
    const run = await this.resyncFull(undefined);
    run.finished.catch(() => undefined);
  }

  async invalidateRemote(peer: NodeName): Promise<void> {
    const run = await this.resyncTo(peer, true);
    run.finished.catch(() => undefined);
  }

  /** From this node to the peer. */
  private async resyncTo(to: NodeName, full: boolean): Promise<ResyncRun> {
    const connection = this.connection(to);
    const { gate, name } = this.core;
    if (gate.snapshot().diskState !== 'UpToDate') {
      const message = `the local copy of ${name} is ${gate.snapshot().diskState}: it is no source`;
      throw new MirrorError('NotUpToDate', message);
    }
    this.requireConnected(connection);
    return full ? this.resyncFullTo(connection) : this.continueWith(to);
  }

  private async resyncFullTo(connection: PeerConnection): Promise<ResyncRun> {
    const { gate, name } = this.core;
    const { peer } = connection;
    if (gate.peer(peer).role === 'Primary') {
      const message = `${peer} is Primary for ${name}: demote it before its copy is overwritten`;
      throw new MirrorError('PeerIsPrimary', message);
    }
    const isPrimary = gate.snapshot().role === 'Primary';
    if (!isPrimary) this.refuseBesidePrimary(peer);
    connection.hold('a full resync was asked for');
    try {
      await (isPrimary ? this.markAll(peer) : this.overtake(peer));
    } finally {
      connection.resume();
    }
    return this.watch(peer);
  }

  /** A generation of its own would part this copy from the Primary. */
  private refuseBesidePrimary(to: NodeName): void {
    const { gate, name } = this.core;
    const primary = [...gate.snapshot().peers].find(([, peer]) => peer.role === 'Primary')?.[0];
    if (primary === undefined) return;
    const message = `${primary} is Primary for ${name}: run resync ${name} --full --to ${to} there`;
    throw new MirrorError('PeerIsPrimary', message);
  }

  /** Of two Secondaries the handshake would choose: a new generation makes this copy the source. */
  private async overtake(peer: NodeName): Promise<void> {
    const { core } = this;
    const { currentUuid, peers } = core.device.metadata();
    const target = core.slotOf(peer);
    await core.updateMetadata({
      ifCurrentUuid: currentUuid,
      currentUuid: core.environment.random.uuid(),
      addHistory: [currentUuid],
      peers: peers.map(({ slot, bitmapUuid }) => ({
        slot,
        ...(bitmapUuid === 0n ? { bitmapUuid: currentUuid } : {}),
        ...(slot === target ? { fullSync: true } : {}),
      })),
    });
    for (const other of this.connections.values()) {
      if (other.peer !== peer) other.renegotiate('a new generation began here');
    }
  }

  private async resyncChanged(from: NodeName | undefined): Promise<ResyncRun> {
    await this.awaitSource(from);
    const running = this.runningSource();
    if (running !== undefined && (from === undefined || from === running)) {
      return this.watch(running);
    }
    return this.continueWith(this.upToDatePeer(from));
  }

  private async resyncFull(from: NodeName | undefined): Promise<ResyncRun> {
    const { gate, name } = this.core;
    await this.awaitSource(from);
    const fed = [...gate.snapshot().peers].find(([, peer]) => isSource(peer.replicationState));
    if (fed !== undefined) {
      const message = `${name} is the source of a resync to ${fed[0]}: wait until it has finished`;
      throw new MirrorError('ResyncRunning', message);
    }
    await this.askRefusing(from);
    const peer = this.refusedPeer(from) ?? this.upToDatePeer(from);
    refuseGivingUp(this.core, peer);
    const connection = this.connection(peer);
    connection.hold('a full resync was asked for');
    try {
      await this.giveUpCopy(peer);
    } catch (error) {
      connection.resume();
      throw error;
    }
    connection.connect({ takeMeBack: true });
    return this.watch(peer);
  }

  /** Joins the resync that runs, or has the handshake begin one. */
  private continueWith(peer: NodeName): ResyncRun {
    const { replicationState } = this.core.gate.peer(peer);
    if (isSource(replicationState) || isTarget(replicationState)) return this.watch(peer);
    const left = this.core.peerStatistics(peer)?.outOfSyncBytes ?? 0n;
    if (replicationState === 'Established' && left === 0n) return finishedRun(peer);
    this.connection(peer).renegotiate('a resync was asked for');
    return this.watch(peer);
  }

  /** A peer that is just being connected, as after up, may be the source or refuse this copy. */
  private async awaitSource(from: NodeName | undefined): Promise<void> {
    const named = this.named(from);
    if (named.some((one) => one.isConnected || one.standsAloneFor !== undefined)) return;
    await settleAll(this.core, named);
  }

  /**
   * A peer that refused this copy, and whose own could not replace it then, is asked once more.
   * @throws NotUpToDate while it cannot: what is here may be all there is
   */
  private async askRefusing(from: NodeName | undefined): Promise<void> {
    const { core } = this;
    const peer = this.refusedPeer(from);
    const connection = peer === undefined ? undefined : this.connection(peer);
    if (connection === undefined || connection.standsAloneFor?.takesOver === true) return;
    connection.connect();
    await settleAll(core, [connection]);
    const refusal = connection.standsAloneFor;
    if (refusal?.takesOver !== false) return;
    const message = `the copy of ${core.name} on ${core.node} is not given up: ${refusal.message}`;
    throw new MirrorError('NotUpToDate', message);
  }

  /** What follows from the state is refused before anything is written: the copy stays as it is. */
  private async giveUpCopy(peer: NodeName): Promise<void> {
    const { gate } = this.core;
    const { diskState } = gate.snapshot();
    gate.propose({ diskState: 'Inconsistent' });
    try {
      await this.markGivenUp(peer);
    } catch (error) {
      if (gate.snapshot().diskState === 'Inconsistent') gate.propose({ diskState });
      throw error;
    }
  }

  /** It is known by that this copy has begun nothing of its own without the peer any more. */
  private async markGivenUp(peer: NodeName): Promise<void> {
    const { slot } = this.core.peerMetadata(peer);
    await this.core.updateMetadata({
      consistent: false,
      peers: [{ slot, fullSync: true, bitmapUuid: 0n }],
    });
  }

  private async markAll(peer: NodeName): Promise<void> {
    await this.core.updateMetadata({ peers: [{ slot: this.core.slotOf(peer), fullSync: true }] });
  }

  private watch(peer: NodeName): ResyncRun {
    return watchResync(this.core, peer, this.progressOf(peer));
  }

  private runningSource(): NodeName | undefined {
    const peers = [...this.core.gate.snapshot().peers];
    return peers.find(([, peer]) => isTarget(peer.replicationState))?.[0];
  }

  /** A peer that refused this copy: it takes it back as a full target. */
  private refusedPeer(from: NodeName | undefined): NodeName | undefined {
    const codes = ['Reverted', 'SplitBrain'];
    return this.named(from).find((connection) => {
      const code = connection.standsAloneFor?.code;
      return code !== undefined && codes.includes(code);
    })?.peer;
  }

  /** That peer's connection, or without a name all. */
  private named(from: NodeName | undefined): PeerConnection[] {
    return [...this.connections.values()].filter(({ peer }) => from === undefined || peer === from);
  }

  /** The Primary before others. */
  private upToDatePeer(from: NodeName | undefined): NodeName {
    if (from !== undefined) this.requireConnected(this.connection(from));
    const candidates = [...this.core.gate.snapshot().peers].filter(
      ([name, peer]) =>
        (from === undefined || name === from) &&
        peer.connectionState === 'Connected' &&
        peer.diskState === 'UpToDate',
    );
    const primary = candidates.find(([, peer]) => peer.role === 'Primary');
    const chosen = primary ?? candidates[0];
    if (chosen === undefined) throw this.refuseWithoutSource(from);
    return chosen[0];
  }

  private requireConnected(connection: PeerConnection): void {
    if (connection.isConnected) return;
    const message = `${connection.peer} is not connected for ${this.core.name}: connect it first`;
    throw new MirrorError('NotConnected', message);
  }

  private connection(peer: NodeName): PeerConnection {
    const found = this.connections.get(peer);
    if (found !== undefined) return found;
    const names = [...this.connections.keys()].join(', ');
    const message = `${peer} is no peer of ${this.core.name}: its peers here are ${names}`;
    throw new MirrorError('NotFound', message);
  }

  private refuseWithoutSource(from: NodeName | undefined): MirrorError {
    const { name, gate } = this.core;
    if (from !== undefined) {
      const { diskState } = gate.peer(from);
      const message = `the copy of ${name} on ${from} is ${diskState}: name an UpToDate peer`;
      return new MirrorError('NotUpToDate', message);
    }
    const connected = [...this.connections.values()].some((one) => one.isConnected);
    const message = `no UpToDate peer of ${name} is connected: connect one first`;
    return new MirrorError(connected ? 'NotUpToDate' : 'NotConnected', message);
  }

  private refusePrimary(): MirrorError {
    const message = `${this.core.name} is Primary here: name the peer to copy to with --to`;
    return new MirrorError('InvalidArgs', message);
  }
}
