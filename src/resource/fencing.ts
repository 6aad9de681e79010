/**
 * Fencing of lost peers: a Primary has them fenced by the administrator's handler; with
 * resource-and-stonith its data plane suspends I/O from the loss itself until that is known to
 * have worked (rule 6, DESIGN section 5). A promotion fences who is not connected first.
 *
 * Of each loss the connection is remembered: what is learnt of it no longer counts once the
 * peer has come back or was lost again.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import type { HandlerEnd } from '../model/handlers';
import { SUSPENSION_LAG_MS } from '../model/limits';
import type { NodeName } from '../model/states';
import { judgeFencing } from '../rules/fencing';
import type { FenceAnswer, FencedCopy } from '../rules/fencing';
import { isAttached } from '../rules/transitions';
import type { ResourceState } from '../rules/transitions';
import type { Core } from './core';
import type { PeerConnection } from './peerConnection';

interface Loss {
  readonly incarnation: number;
  /** What an administrator should know of it; as long as it suspends. */
  text: string;
  /** The peer is fenced, and the disk could not take that down. */
  unwritten?: boolean;
}

/** Only while the configuration changes: with a policy there is a handler. */
const MISSING: HandlerEnd = { kind: 'failed', message: 'is not configured' };

export class Fencing {
  private readonly losses = new Map<NodeName, Loss>();
  /** What handlers said of fenced peers; who is not here was fenced before this start. */
  private readonly copies = new Map<NodeName, FencedCopy>();
  /** Peers that are about to leave, Outdated. */
  private readonly leaving = new Set<NodeName>();
  private armed = false;
  private closed = false;

  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
  ) {
    core.gate.subscribe((before, after) => this.follow(before, after));
  }

  get active(): boolean {
    return this.core.config.fencing !== 'dont-care';
  }

  /** Why I/O is suspended and what to do; empty: no peer waits for its fencing. */
  get reason(): string {
    if (!this.suspends) return '';
    return [...this.losses.values()].map((loss) => loss.text).join('; ');
  }

  /** What the copy of a peer that is not connected is known to be; undefined: it is not fenced. */
  copyOf(peer: NodeName): FencedCopy | undefined {
    const record = this.core.device.metadata().peers.find((one) => one.name === peer);
    return record?.outdated === true ? (this.copies.get(peer) ?? 'Outdated') : undefined;
  }

  /** Before a promotion asks anybody: from here on a loss is one of a Primary. */
  begin(): void {
    if (!this.suspends || this.armed) return;
    this.armed = true;
    this.core.device.suspendOnLoss(true);
  }

  /** The policy may have changed. */
  follows(): void {
    if (!this.suspends) this.end();
    else if (this.core.gate.snapshot().role === 'Primary') this.begin();
  }

  /** The promotion has failed, or this node is Secondary again. */
  end(): void {
    this.losses.clear();
    if (!this.armed) return;
    this.armed = false;
    this.core.device.suspendOnLoss(false);
  }

  /** This node ends its connections itself from here on. */
  close(): void {
    this.closed = true;
  }

  /**
   * Has every peer fenced that may have gone on without this copy.
   * @throws PeerIsPrimary, NotConnected (not fenced, and not `force`)
   */
  async beforePromotion(force: boolean): Promise<void> {
    if (!this.active) return;
    const answers = await Promise.all(
      this.unfenced().map(async (peer) => ({ peer, answer: await this.ask(peer) })),
    );
    for (const { peer, answer } of answers) await this.settlePromotion(peer, answer, force);
  }

  /** Who was lost or not fenced since. @throws InTransition */
  recheck(force: boolean): void {
    const [peer] = this.active && !force ? this.unfenced() : [];
    if (peer === undefined) return;
    const message = `${peer} was lost during the promotion of ${this.core.name}: try again`;
    throw new MirrorError('InTransition', message);
  }

  /** The peer ends its connection, and cannot be promoted from then on. */
  leaves(peer: NodeName): void {
    this.leaving.add(peer);
  }

  /** A connection on which the peer received writes, or may have, has ended. */
  lost(peer: NodeName, incarnation: number): void {
    const left = this.leaving.delete(peer);
    const primary = this.core.gate.snapshot().role === 'Primary' || this.core.promoting;
    if (!this.active || !primary || this.closed) return;
    if (this.core.waitsForData) {
      // The peer has all that clients have seen, and this copy goes on with it only.
      if (this.armed) this.core.device.resume(this.core.slotOf(peer), incarnation);
      return;
    }
    const loss = { incarnation, text: `the fencing of ${peer} runs` };
    this.losses.set(peer, loss);
    if (left) void this.concludeAs(peer, loss, 'Outdated', 'it has left');
    else void this.fence(peer, loss);
  }

  /** It receives writes again. */
  returned(peer: NodeName): void {
    // That it is fenced may just be being written down.
    const undecided = this.losses.delete(peer);
    this.copies.delete(peer);
    const { peers } = this.core.device.metadata();
    if (undecided || peers.some((one) => one.name === peer && one.outdated)) {
      this.note(peer, false).catch((error: unknown) => this.complain(toMirrorError(error)));
    }
  }

  /** The administrator knows that no lost peer is Primary. */
  resume(): void {
    this.losses.clear();
    if (this.armed) this.core.device.resumeAll();
    this.tellLater();
  }

  private get suspends(): boolean {
    return this.core.config.fencing === 'resource-and-stonith';
  }

  /** Not connected, and not known to be outdated. */
  private unfenced(): NodeName[] {
    const { gate, device } = this.core;
    const fenced = device.metadata().peers.filter((record) => record.outdated);
    const known = new Set(fenced.map((record) => record.name));
    return [...gate.snapshot().peers]
      .filter(([name, peer]) => peer.connectionState !== 'Connected' && !known.has(name))
      .map(([name]) => name);
  }

  private async ask(peer: NodeName): Promise<FenceAnswer> {
    const { config, gate, handlers } = this.core;
    const end = (await handlers.run('fence-peer', peer)) ?? MISSING;
    const { diskState } = gate.snapshot();
    // Without a peer a Consistent copy is the newest there is: that is what is to be found out.
    const own = diskState === 'Consistent' ? 'UpToDate' : diskState;
    return judgeFencing(end, config.fencing, own);
  }

  private async settlePromotion(
    peer: NodeName,
    answer: FenceAnswer,
    force: boolean,
  ): Promise<void> {
    const { core } = this;
    switch (answer.kind) {
      case 'fenced':
        this.copies.set(peer, answer.copy);
        await this.note(peer, true);
        return;
      case 'peerIsPrimary': {
        await core.markOutdated();
        const message = `${peer} is Primary for ${core.name}, its fencing says: connect it first`;
        throw new MirrorError('PeerIsPrimary', message);
      }
      case 'notFenced': {
        if (force) return;
        const message = `${peer} is not fenced: ${answer.text}; connect it, or use --force`;
        throw new MirrorError('NotConnected', message);
      }
    }
  }

  private async fence(peer: NodeName, loss: Loss): Promise<void> {
    const answer = await this.ask(peer);
    // What is half negotiated is negotiated anew, with what is known now.
    if (this.losses.get(peer) === loss) this.connections.get(peer)?.dropHandshake();
    if (this.losses.get(peer) !== loss) return;
    if (answer.kind === 'fenced') {
      await this.concludeAs(peer, loss, answer.copy, answer.text);
      return;
    }
    const why = answer.kind === 'peerIsPrimary' ? 'it is Primary too' : answer.text;
    const remedy = `make sure that it is not Primary, then run resume-io ${this.core.name}`;
    loss.text = `${peer} is not fenced: ${why}; ${remedy}`;
    if (!this.suspends) this.losses.delete(peer);
    this.complain(new MirrorError('Failed', `${peer} is not fenced: ${why}`));
  }

  private async concludeAs(
    peer: NodeName,
    loss: Loss,
    copy: FencedCopy,
    text: string,
  ): Promise<void> {
    this.copies.set(peer, copy);
    try {
      await this.note(peer, true);
    } catch (error) {
      this.complain(toMirrorError(error));
      if (this.core.hasDisk) {
        loss.text = `${peer} is fenced (${text}), but that cannot be written down: run resume-io`;
        loss.unwritten = true;
        return;
      }
    }
    this.conclude(peer, loss);
  }

  private conclude(peer: NodeName, loss: Loss): void {
    if (this.losses.get(peer) !== loss) return;
    this.losses.delete(peer);
    if (this.armed) this.core.device.resume(this.core.slotOf(peer), loss.incarnation);
    this.tellLater();
  }

  /** Without a disk there is nowhere to write it, and no copy here that could be promoted. */
  private diskLost(): void {
    for (const [peer, loss] of [...this.losses]) {
      if (loss.unwritten === true) this.conclude(peer, loss);
    }
  }

  private async note(peer: NodeName, outdated: boolean): Promise<void> {
    if (!this.core.hasDisk) return;
    await this.core.updateMetadata({ peers: [{ slot: this.core.slotOf(peer), outdated }] });
  }

  private complain(error: MirrorError): void {
    this.core.report({ type: 'failed', error });
  }

  /** The data plane's figures follow a moment later. */
  private tellLater(): void {
    const { environment, report } = this.core;
    environment.clock.after(SUSPENSION_LAG_MS, () => report({ type: 'changed' }));
  }

  /** A Secondary that loses its Primary no longer knows whether its copy is the newest. */
  private follow(before: ResourceState, after: ResourceState): void {
    if (before.role === 'Primary' && after.role !== 'Primary') this.end();
    if (isAttached(before.diskState) && !isAttached(after.diskState)) this.diskLost();
    if (!this.active || after.role === 'Primary' || after.diskState !== 'UpToDate') return;
    const left = [...before.peers].some(([name, peer]) => {
      const wasPrimary = peer.connectionState === 'Connected' && peer.role === 'Primary';
      return wasPrimary && after.peers.get(name)?.connectionState !== 'Connected';
    });
    if (left && !this.core.promoting) this.core.gate.propose({ diskState: 'Consistent' });
  }
}
