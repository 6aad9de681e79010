/**
 * One connection to a peer from its hand-over to the data plane until its end.
 *
 * Handshake: hello in both directions (a dialled connection sent its own already) → both
 * compute the verdict → each makes its side durable → `ready` in both directions → when both
 * say the same, the data plane establishes it. Whatever changed meanwhile ends the connection,
 * and it is made anew: there is one path for every change.
 *
 * Used by peerConnection.ts, which decides which connection is kept. `ended` comes once.
 */
import { present } from '../model/assert';
import { FAREWELL_MS } from '../model/limits';
import type { NodeName, Uuid } from '../model/states';
import type { DeviceEvent, WireSocket } from '../plane/plane';
import { decide, makesTarget, sameVerdict, swapVerdict } from '../rules/handshake';
import type { Verdict } from '../rules/handshake';
import { findSplitBrain } from '../rules/settlement';
import type { Settlement } from '../rules/settlement';
import type { Core, Requests } from './core';
import { withDeadline } from './deadline';
import { planOf } from './establishPlan';
import { parseFrame, formatFrame } from './frames';
import type { Frame, SentFrame } from './frames';
import { judgeHello } from './greeting';
import { formatHello } from './hello';
import type { Hello } from './hello';
import { Inbox } from './inbox';
import { LinkEnd, refusedEnd, toLinkEnd } from './linkEnd';
import { changedFact, preparation, remembering } from './preparation';
import { touch } from './untouched';
import { refusalOf, waitingReason } from './words';
import type { Copies } from './words';

export type LinkEvent = Extract<DeviceEvent, { readonly incarnation: number }>;

export interface LinkOwner {
  requests(): Requests;
  /** A hello as of now. */
  hello(): Hello;
  /** The peer's hello is known and acceptable: this connection was chosen. */
  answered(hello: Hello): void;
  /** Split brain, settled or not: before anything is given up, once for each handshake. */
  splitBrainFound(copies: Copies): void;
  /** Both nodes have agreed who gives up. */
  splitBrainSettled(settlement: Settlement): void;
  /** This copy becomes a target: it can feed nobody. */
  becomesTarget(): void;
  /** Before anything of the local copy is given up; may end the connection. */
  beforeTarget(): Promise<void>;
  /** From here on this copy may become what the peer's is. */
  beforeFed(): void;
  connected(link: Link, verdict: Verdict): void;
  frame(frame: Frame): void;
  /** Both copies are identical and durable. */
  resynced(): void;
  ended(link: Link, end: LinkEnd): void;
}

/** Where a connection came from, with the hello that is already known. */
export type LinkOrigin =
  | { readonly kind: 'dialled'; readonly told: Hello }
  | { readonly kind: 'accepted'; readonly heard: Hello };

export class Link {
  private readonly inbox: Inbox;
  private readonly early: LinkEvent[] = [];
  private phase: 'handshake' | 'connected' | 'ended' = 'handshake';
  private connectedOnce = false;
  private establishing = false;
  /** Both have agreed not to connect. */
  private parting: LinkEnd | undefined;
  private splitBrain: ReturnType<typeof findSplitBrain>;
  private told: Hello | undefined;
  private heard: Hello | undefined;

  constructor(
    private readonly core: Core,
    private readonly owner: LinkOwner,
    readonly peer: NodeName,
    readonly incarnation: number,
    origin: LinkOrigin,
  ) {
    this.inbox = new Inbox(core.environment.clock);
    if (origin.kind === 'dialled') this.told = origin.told;
    else this.heard = origin.heard;
  }

  /** undefined: a dialled connection that was not answered yet. */
  get peerHello(): Hello | undefined {
    return this.heard;
  }

  /** It was Connected before it ended. */
  get wasConnected(): boolean {
    return this.connectedOnce;
  }

  /** Its incarnation, once the data plane was told that the peer receives; else undefined. */
  get establishedAs(): number | undefined {
    return this.establishing ? this.incarnation : undefined;
  }

  get isConnected(): boolean {
    return this.phase === 'connected';
  }

  /** Runs the handshake; never rejects. */
  async run(socket: WireSocket): Promise<void> {
    try {
      await this.handOver(socket);
      await this.exchangeHellos();
      const verdict = this.judge();
      await this.prepare(verdict);
      await this.agree(verdict);
      await this.remember(verdict);
      await this.establish(verdict);
    } catch (error) {
      this.end(toLinkEnd(error));
    }
  }

  send(frame: SentFrame): void {
    this.sendText(formatFrame(frame));
  }

  onEvent(event: LinkEvent): void {
    if (this.phase === 'ended') return;
    try {
      this.handle(event);
    } catch (error) {
      this.end(toLinkEnd(error));
    }
  }

  /** Ends it from this side; the data plane closes the socket. */
  close(reason: string): void {
    this.end(new LinkEnd(reason));
  }

  private async handOver(socket: WireSocket): Promise<void> {
    const { device, environment, timeoutMs } = this.core;
    const handOver = device.connectLink(this.slot, socket, this.incarnation);
    try {
      await withDeadline(environment.clock, timeoutMs, 'the data plane', handOver);
    } catch (error) {
      socket.close();
      throw error;
    }
    this.checkOpen();
  }

  private async exchangeHellos(): Promise<void> {
    if (this.heard !== undefined) {
      this.told = this.owner.hello();
      this.sendText(formatHello(this.told));
      return;
    }
    const frame = await this.next('hello', 'the hello');
    const refusal = judgeHello(this.core, this.peer, frame.hello);
    if (refusal !== undefined) throw new LinkEnd(refusal.message, refusal);
    this.heard = frame.hello;
    this.owner.answered(frame.hello);
  }

  private judge(): Verdict {
    const told = present(this.told, 'the own hello is sent');
    const heard = present(this.heard, 'the hello of the peer is there');
    this.checkFresh(false);
    const nodes = Math.max(told.nodes, heard.nodes);
    const { protocol } = this.core.config;
    const verdict = decide(told.identity, heard.identity, nodes, protocol);
    const nothing = this.core.identity(this.peer, this.owner.requests()).outOfSyncBytes === 0n;
    if (verdict.kind === 'inSync' && !nothing) throw new LinkEnd('the copy changed meanwhile');
    this.splitBrain = findSplitBrain(told.identity, heard.identity, nodes, protocol);
    return verdict;
  }

  private async prepare(verdict: Verdict): Promise<void> {
    const { core } = this;
    const target = makesTarget(verdict);
    if (this.splitBrain !== undefined) this.owner.splitBrainFound(this.copies());
    if (target) {
      await this.owner.beforeTarget();
      this.checkFresh(false);
      this.owner.becomesTarget();
    }
    const patch = preparation(verdict, core.device.metadata(), this.slot);
    if (patch?.consistent === false) await core.declare('Inconsistent', patch);
    else if (patch !== undefined) await core.updateMetadata(patch);
    if (target) core.gate.propose({ diskState: 'Inconsistent' });
    else if (patch?.outdated === false) core.gate.propose({ diskState: 'UpToDate' });
    // It has given up what it had, whatever becomes of this connection.
    if (target) this.tellSettled();
    this.checkFresh(true);
  }

  /** Returns when both sides are durable for the same verdict. */
  private async agree(verdict: Verdict): Promise<void> {
    const told = present(this.told, 'the own hello is sent');
    const heard = present(this.heard, 'the hello of the peer is there');
    this.send({ type: 'ready', verdict, currentUuid: told.identity.currentUuid });
    const ready = await this.next('ready', 'the end of the handshake');
    const same = sameVerdict(verdict, swapVerdict(ready.verdict));
    if (!same || ready.currentUuid !== heard.identity.currentUuid) {
      throw new LinkEnd('the states changed during the handshake');
    }
    const names = { resource: this.core.name, own: this.core.node, peer: this.peer };
    const refusal = refusalOf(verdict, names, this.copies());
    if (refusal !== undefined) await this.part(new LinkEnd(refusal.message, refusal));
    this.checkFresh(true);
    if (verdict.kind === 'resync' && verdict.direction === 'source') this.tellSettled();
  }

  private tellSettled(): void {
    if (typeof this.splitBrain === 'object') this.owner.splitBrainSettled(this.splitBrain);
  }

  /** As both nodes have described them to each other. */
  private copies(): Copies {
    const told = present(this.told, 'the own hello is sent');
    const heard = present(this.heard, 'the hello of the peer is there');
    return { own: told.identity, peer: heard.identity };
  }

  /** Leaves the peer the time to hear the own `ready`, and so to come to the same end. */
  private async part(end: LinkEnd): Promise<never> {
    this.parting = end;
    const { clock } = this.core.environment;
    await new Promise<void>((resolve) => clock.after(FAREWELL_MS, resolve));
    throw end;
  }

  private async remember(verdict: Verdict): Promise<void> {
    const heard = present(this.heard, 'the hello of the peer is there');
    const patch = remembering(verdict, this.core.device.metadata(), this.slot, heard.identity);
    if (patch === undefined) return;
    await this.core.updateMetadata(patch);
    this.checkFresh(true);
  }

  private async establish(verdict: Verdict): Promise<void> {
    const heard = present(this.heard, 'the hello of the peer is there');
    const { device, environment, timeoutMs } = this.core;
    const told = present(this.told, 'the own hello is sent');
    const plan = planOf(verdict, told, heard);
    if (plan !== undefined) {
      if (isFed(verdict, heard)) this.owner.beforeFed();
      if (makesTarget(verdict)) touch(this.core);
      if (verdict.kind === 'resync') this.showConnected(verdict);
      this.establishing = true;
      const established = device.establish(this.slot, this.incarnation, plan);
      await withDeadline(environment.clock, timeoutMs, 'the data plane', established);
      this.checkEstablished(verdict);
    }
    this.showConnected(verdict);
    this.phase = 'connected';
    this.connectedOnce = true;
    this.owner.connected(this, verdict);
    this.drain();
  }

  /** A write that was admitted just before may have begun a generation the peer was not told. */
  private checkEstablished(verdict: Verdict): void {
    this.checkOpen();
    const told = present(this.told, 'the own hello is sent').identity;
    const now = this.core.identity(this.peer, this.owner.requests());
    // Served, the Primary begins a generation at once.
    if (verdict.kind === 'served') return;
    const marked = verdict.kind === 'inSync' && now.outOfSyncBytes > 0n;
    const changed = now.currentUuid !== told.currentUuid;
    if (marked || (changed && !this.hasFilled(verdict, now.currentUuid))) {
      throw new LinkEnd('a write came between the handshake and its end');
    }
  }

  /** The resync has ended already: this copy is what the peer's was. */
  private hasFilled(verdict: Verdict, currentUuid: Uuid): boolean {
    const heard = present(this.heard, 'the hello of the peer is there').identity;
    return makesTarget(verdict) && currentUuid === heard.currentUuid;
  }

  private showConnected(verdict: Verdict): void {
    const { role, diskState } = present(this.heard, 'the hello of the peer is there').identity;
    const resync = verdict.kind === 'resync';
    const shown = makesTarget(verdict) ? 'WFBitMapT' : 'WFBitMapS';
    const agreed = ['inSync', 'served', 'bothJustCreated'].includes(verdict.kind);
    const idle = agreed ? 'Established' : 'Off';
    const change = {
      connectionState: 'Connected',
      reason: waitingReason(verdict),
      replicationState: resync ? shown : idle,
      role,
      diskState,
    } as const;
    this.core.gate.propose({ peer: { name: this.peer, change } });
  }

  private drain(): void {
    for (let next = this.inbox.tryNext(); next !== undefined; next = this.inbox.tryNext()) {
      if (this.isConnected) this.owner.frame(next);
    }
    for (const event of this.early.splice(0)) this.onEvent(event);
  }

  private handle(event: LinkEvent): void {
    switch (event.type) {
      case 'control':
        this.onControl(event.text);
        return;
      case 'linkClosed':
        this.end(this.parting ?? new LinkEnd(describeLoss(event.loss, event.detail)));
        return;
      default:
        if (this.phase === 'handshake') this.early.push(event);
        else this.onResync(event);
    }
  }

  private onControl(text: string): void {
    const frame = parseFrame(text);
    if (this.phase === 'connected') this.owner.frame(frame);
    else this.inbox.push(frame);
  }

  private onResync(event: Exclude<LinkEvent, { readonly type: 'control' | 'linkClosed' }>): void {
    const { gate } = this.core;
    const target = ['WFBitMapT', 'SyncTarget'].includes(gate.peer(this.peer).replicationState);
    const running = target ? 'SyncTarget' : 'SyncSource';
    const finished = event.type === 'resyncFinished';
    const change = finished
      ? ({ replicationState: 'Established', diskState: 'UpToDate', reason: '' } as const)
      : ({ replicationState: running } as const);
    gate.propose({ peer: { name: this.peer, change } });
    if (finished) this.owner.resynced();
  }

  private async next<T extends Frame['type']>(
    type: T,
    what: string,
  ): Promise<Extract<Frame, { readonly type: T }>> {
    const frame = await this.inbox.next(this.core.timeoutMs, what);
    this.checkOpen();
    if (frame.type === 'refused') throw refusedEnd(this.peer, frame);
    if (!isOfType(frame, type)) {
      throw new LinkEnd(`protocol error: ${frame.type} came instead of ${what}`);
    }
    return frame;
  }

  private checkFresh(prepared: boolean): void {
    this.checkOpen();
    const told = present(this.told, 'the own hello is sent').identity;
    const now = this.core.identity(this.peer, this.owner.requests());
    const fact = changedFact(told, now, prepared);
    if (fact !== undefined) throw new LinkEnd(`${fact} changed during the handshake`);
  }

  private checkOpen(): void {
    if (this.phase === 'ended') throw new LinkEnd('the connection has ended');
    const { promised } = this.core;
    // It may be Primary already: whether, its next frame tells.
    if ((promised ?? this.peer) !== this.peer) throw new LinkEnd(`${promised} is being promoted`);
  }

  private sendText(text: string): void {
    this.core.device.sendControl(this.slot, this.incarnation, text);
  }

  private get slot(): number {
    return this.core.slotOf(this.peer);
  }

  private end(end: LinkEnd): void {
    if (this.phase === 'ended') return;
    this.phase = 'ended';
    this.inbox.fail(end);
    this.core.device.closeLink(this.slot, this.incarnation);
    this.owner.ended(this, end);
  }
}

/** What the peer has goes into this copy. */
function isFed(verdict: Verdict, { identity }: Hello): boolean {
  return makesTarget(verdict) || identity.role === 'Primary';
}

function isOfType<T extends Frame['type']>(
  frame: Frame,
  type: T,
): frame is Extract<Frame, { readonly type: T }> {
  return frame.type === type;
}

function describeLoss(loss: string, detail: string): string {
  const words = loss.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase();
  return detail === '' ? words : `${words}: ${detail}`;
}
