/**
 * The connection to one peer: dials (dialer.ts), accepts, and keeps at most one link.
 *
 * Each hello carries the sender's boot nonce and how many connections it has opened since. An
 * incoming connection replaces the link when its nonce differs from, or its count is above,
 * what the peer said on that link; otherwise it is stale and refused. When it meets a
 * connection that was dialled here and not answered yet (both dialled at once), the node whose
 * name sorts first alone decides: it refuses the incoming one and keeps its own; the other
 * parks the incoming one until its own is answered (parked: refused) or ends (parked: taken).
 *
 * Every change of what the copies have in common is negotiated by dropping the link and
 * connecting anew. Owned by resource.ts.
 */
import type { HandlerEnd } from '../model/handlers';
import type { NodeName } from '../model/states';
import type { IncomingConnection, WireSocket } from '../plane/plane';
import { decide } from '../rules/handshake';
import type { Verdict } from '../rules/handshake';
import type { Settlement } from '../rules/settlement';
import type { PeerState } from '../rules/transitions';
import { NO_REQUESTS } from './core';
import type { Core, Requests } from './core';
import { Dialer } from './dialer';
import type { Frame, SentFrame } from './frames';
import { isNewer, judgeHello } from './greeting';
import { FAREWELL_FEATURE, formatRefusal } from './hello';
import type { Hello } from './hello';
import { Link } from './link';
import type { LinkEvent, LinkOrigin } from './link';
import type { LinkEnd } from './linkEnd';
import { refusalOf } from './words';
import type { Copies, Refusal } from './words';

export interface PeerHooks {
  connected(peer: NodeName, verdict: Verdict): void;
  frame(peer: NodeName, frame: Frame): void;
  resynced(peer: NodeName): void;
  /** The copy may have become UpToDate after its connection was lost. */
  resyncedLate(): void;
  becomesTarget(peer: NodeName): void;
  beforeFed(peer: NodeName): void;
  /** `incarnation`: of the connection, when the peer may have received writes on it. */
  lost(peer: NodeName, incarnation?: number): void;
  standsAlone(peer: NodeName, refusal: Refusal): void;
  splitBrainFound(peer: NodeName): void;
  splitBrainSettled(peer: NodeName, settlement: Settlement): void;
}

interface Parked {
  readonly incoming: IncomingConnection;
  readonly hello: Hello;
}

export class PeerConnection {
  private wanted = false;
  private held = false;
  private standAlone: Refusal | undefined;
  private requested = NO_REQUESTS;
  private link: Link | undefined;
  private parked: Parked | undefined;
  private permit: Promise<HandlerEnd | undefined> | undefined;
  private readonly dialer: Dialer;
  private incarnation = 0;
  private foundSplitBrain: string | undefined;
  private toldSplitBrain: string | undefined;
  private readonly settling: (() => void)[] = [];

  constructor(
    private readonly core: Core,
    readonly peer: NodeName,
    private readonly hooks: PeerHooks,
  ) {
    this.dialer = new Dialer(core, peer, {
      mayDial: () => this.mayDial(),
      dialling: () => {
        this.show({ connectionState: 'Connecting' });
        return this.hello();
      },
      dialled: (socket, told) => this.begin(socket, { kind: 'dialled', told }),
      failed: (reason) => {
        this.show({ reason });
        this.settled();
      },
    });
  }

  get isConnected(): boolean {
    return this.link?.isConnected === true;
  }

  /** A connection is being negotiated. */
  get isNegotiating(): boolean {
    return this.link !== undefined && !this.link.isConnected;
  }

  /** It is being negotiated, or may be at any moment. */
  get mayConnect(): boolean {
    return this.wanted && this.standAlone === undefined && !this.isConnected;
  }

  /** A Primary that may send writes already, and is not shown as connected yet. */
  get meetsPrimary(): boolean {
    const { link } = this;
    if (link?.establishedAs === undefined || link.isConnected) return false;
    return link.peerHello?.identity.role === 'Primary';
  }

  /** The peer knows what a farewell is. */
  get takesFarewell(): boolean {
    return this.isConnected && this.link?.peerHello?.features.includes(FAREWELL_FEATURE) === true;
  }

  /** Tries at once; resolves when it is connected, or cannot be for now. */
  settle(): Promise<void> {
    if (!this.mayConnect || this.diskFailed) return Promise.resolve();
    if (this.link === undefined && !this.dialer.isBusy) this.dialer.now();
    return new Promise((resolve) => this.settling.push(resolve));
  }

  /** Why it stands alone until the administrator decides. */
  get standsAloneFor(): Refusal | undefined {
    return this.standAlone;
  }

  /** Begins, or begins again after StandAlone. A connection that is there stays. */
  connect(requests: Partial<Requests> = {}): void {
    this.wanted = true;
    this.held = false;
    this.standAlone = undefined;
    this.requested = { ...this.requested, ...requests };
    this.dialer.forgetFailures();
    this.foundSplitBrain = this.toldSplitBrain = undefined;
    if (this.link !== undefined || this.dialer.isBusy) return;
    this.show({ connectionState: 'Unconnected', reason: '' });
    this.dialer.now();
  }

  /** Until connect(); what the administrator asked for is forgotten. */
  disconnect(reason: string): void {
    this.wanted = this.held = false;
    this.standAlone = undefined;
    this.requested = NO_REQUESTS;
    this.stop(reason);
    this.show({ connectionState: 'StandAlone', reason });
  }

  /** Before this copy changes: an order to give it up was about what it had. */
  forgetRequests(): void {
    this.requested = NO_REQUESTS;
  }

  /** Drops the link, and neither dials nor accepts until connect(), resume() or disconnect(). */
  hold(reason: string): void {
    this.held = true;
    this.stop(reason);
    this.show({ connectionState: 'Unconnected', reason });
  }

  /** Goes on after hold(); nothing happens when it is not wanted. */
  resume(): void {
    this.held = false;
    if (this.wanted && this.link === undefined) this.dialer.now();
  }

  /** Drops the link and connects anew; nothing happens while StandAlone. */
  renegotiate(reason: string): void {
    this.dialer.forgetFailures();
    this.link?.close(reason);
  }

  /** What is being negotiated begins anew; a connection that is Connected stays. */
  dropHandshake(): void {
    if (this.isNegotiating) this.renegotiate('a decision about the lost connection');
  }

  send(frame: SentFrame): void {
    if (this.link?.isConnected === true) this.link.send(frame);
  }

  /** When this connection ends no other is made until connect(). */
  sendLast(frame: SentFrame): void {
    this.held = true;
    this.send(frame);
  }

  onEvent(event: LinkEvent): void {
    if (this.link?.incarnation === event.incarnation) this.link.onEvent(event);
    else if (event.type === 'resyncFinished') this.hooks.resyncedLate();
  }

  accept(incoming: IncomingConnection, hello: Hello): void {
    const refusal = this.judge(hello);
    if (refusal !== undefined) {
      this.refuse(incoming, refusal);
      return;
    }
    const answered = this.link?.peerHello;
    if (this.link === undefined) this.adopt(incoming, hello);
    else if (answered === undefined) this.meet(incoming, hello);
    else if (isNewer(hello, answered)) this.replace(incoming, hello);
    else this.refuse(incoming, { code: 'InTransition', message: 'another connection is there' });
  }

  private judge(hello: Hello): Refusal | undefined {
    const { core, peer } = this;
    if (core.closing) return { code: 'InTransition', message: `${core.node} is shutting down` };
    if (this.diskFailed) {
      const message = `${core.name} has no backing disk on ${core.node}: run attach there`;
      return { code: 'NotAttached', message };
    }
    if (!this.wanted) {
      return { code: 'NotConnected', message: `${core.name} is disconnected on ${core.node}` };
    }
    const foreign = judgeHello(core, peer, hello);
    if (foreign !== undefined) {
      if (this.link === undefined) this.standAloneFor(foreign);
      return foreign;
    }
    if (core.promoting) return { code: 'InTransition', message: `${core.node} is being promoted` };
    if (this.held) {
      return { code: 'InTransition', message: `the copy on ${core.node} is changing` };
    }
    return this.standAlone === undefined ? undefined : this.judgeAgain(hello);
  }

  /** What ended StandAlone may have been solved on the other node. */
  private judgeAgain(hello: Hello): Refusal | undefined {
    const { core, peer } = this;
    const { identity: own, nodes, protocol } = this.hello();
    const verdict = decide(own, hello.identity, Math.max(nodes, hello.nodes), protocol);
    const names = { resource: core.name, own: core.node, peer };
    const refusal = refusalOf(verdict, names, { own, peer: hello.identity });
    // From the handshake the peer learns what an administrator needs to know of both copies.
    const goesOn = refusal === undefined || ['SplitBrain', 'Reverted'].includes(refusal.code);
    if (goesOn) this.standAlone = undefined;
    return goesOn ? undefined : refusal;
  }

  private meet(incoming: IncomingConnection, hello: Hello): void {
    if (this.core.outranks(this.peer)) {
      this.refuse(incoming, { code: 'InTransition', message: 'both nodes connect at once' });
      return;
    }
    this.refuseParked();
    this.parked = { incoming, hello };
  }

  private replace(incoming: IncomingConnection, hello: Hello): void {
    const link = this.link;
    this.link = undefined;
    link?.close('the peer connected anew');
    this.lose('the peer connected anew', link);
    this.adopt(incoming, hello);
  }

  private adopt(incoming: IncomingConnection, hello: Hello): void {
    this.dialer.cancel();
    const { plane } = this.core.environment;
    plane.setSocketOptions(incoming.socket, this.core.config);
    this.begin(incoming.socket, { kind: 'accepted', heard: hello });
  }

  private begin(socket: WireSocket, origin: LinkOrigin): void {
    this.incarnation += 1;
    const owner = {
      requests: () => this.requested,
      hello: () => this.hello(),
      answered: () => this.refuseParked(),
      splitBrainFound: (copies: Copies) => this.onSplitBrain(copies),
      splitBrainSettled: (how: Settlement) => this.hooks.splitBrainSettled(this.peer, how),
      becomesTarget: () => this.hooks.becomesTarget(this.peer),
      beforeTarget: () => this.beforeTarget(),
      beforeFed: () => this.hooks.beforeFed(this.peer),
      connected: (link: Link, verdict: Verdict) => this.onConnected(link, verdict),
      frame: (frame: Frame) => this.hooks.frame(this.peer, frame),
      resynced: () => this.hooks.resynced(this.peer),
      ended: (link: Link, end: LinkEnd) => this.onEnded(link, end),
    };
    this.link = new Link(this.core, owner, this.peer, this.incarnation, origin);
    this.show({ connectionState: 'Connecting' });
    void this.link.run(socket);
  }

  /**
   * The handler may take longer than a peer waits: the next connection finds it still running,
   * or done. A refusal disconnects, as DRBD does.
   */
  private async beforeTarget(): Promise<void> {
    this.permit ??= this.core.handlers.run('before-resync-target', this.peer);
    const end = await this.permit;
    if (end === undefined || (end.kind === 'exited' && end.status === 0)) return;
    this.permit = undefined;
    const how = end.kind === 'exited' ? `exited with ${end.status}` : end.message;
    this.disconnect(`before-resync-target ${how}: no resync; see to it, then connect again`);
  }

  private onConnected(link: Link, verdict: Verdict): void {
    if (link !== this.link) return;
    this.dialer.forgetFailures();
    this.requested = NO_REQUESTS;
    this.permit = undefined;
    this.hooks.connected(this.peer, verdict);
    this.settled();
  }

  private settled(): void {
    for (const resolve of this.settling.splice(0)) resolve();
  }

  private onEnded(link: Link, end: LinkEnd): void {
    if (link !== this.link) return;
    this.link = undefined;
    this.lose(end.reason, link);
    if (end.refused) this.settled();
    if (end.refusal !== undefined) {
      this.standAloneFor(end.refusal);
      return;
    }
    const parked = this.parked;
    this.parked = undefined;
    if (parked !== undefined) this.adopt(parked.incoming, parked.hello);
    else this.dialer.again();
  }

  private lose(reason: string, link: Link | undefined): void {
    const connected = link?.wasConnected === true;
    this.show({ connectionState: connected ? 'Unconnected' : 'Connecting', reason });
    this.hooks.lost(this.peer, link?.establishedAs);
  }

  private standAloneFor(refusal: Refusal): void {
    this.standAlone = refusal;
    this.requested = NO_REQUESTS;
    this.stop(refusal.message);
    this.show({ connectionState: 'StandAlone', reason: refusal.message });
    if (this.isNews(refusal)) this.hooks.standsAlone(this.peer, refusal);
  }

  /** Split brain is told once, not at each attempt of the peer. */
  private isNews({ copies }: Refusal): boolean {
    if (copies === undefined) return true;
    const key = keyOf(copies);
    const known = this.toldSplitBrain === key;
    this.toldSplitBrain = key;
    return !known;
  }

  /** The same one is found again at each attempt until it is settled. */
  private onSplitBrain(copies: Copies): void {
    const key = keyOf(copies);
    if (this.foundSplitBrain === key) return;
    this.foundSplitBrain = key;
    this.hooks.splitBrainFound(this.peer);
  }

  private stop(reason: string): void {
    this.dialer.cancel();
    this.refuseParked();
    const link = this.link;
    this.link = undefined;
    link?.close(reason);
    if (link !== undefined) this.hooks.lost(this.peer, link.establishedAs);
    this.settled();
  }

  private refuseParked(): void {
    const parked = this.parked;
    this.parked = undefined;
    if (parked === undefined) return;
    this.refuse(parked.incoming, { code: 'InTransition', message: 'another connection is there' });
  }

  private refuse(incoming: IncomingConnection, { code, message }: Refusal): void {
    this.core.environment.plane.refuse(incoming.socket, formatRefusal(code, message));
  }

  /** Without a disk only a Primary, whom its peers serve, is connected. */
  private get diskFailed(): boolean {
    return !this.core.hasDisk && this.core.gate.snapshot().role !== 'Primary';
  }

  private mayDial(): boolean {
    const { closing, promoting } = this.core;
    if (!this.mayConnect || this.held || this.diskFailed) return false;
    return !closing && !promoting && this.link === undefined;
  }

  private hello(): Hello {
    return this.core.hello(this.peer, this.requested, this.dialer.attempts);
  }

  private show(change: Partial<PeerState>): void {
    this.core.gate.propose({ peer: { name: this.peer, change } });
  }
}

/** What tells one split brain from another. */
function keyOf({ own, peer }: Copies): string {
  return `${own.currentUuid} ${own.role} ${peer.currentUuid} ${peer.role}`;
}
