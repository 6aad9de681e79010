/**
 * The two phases of a promotion (rule 8), both as the node that is promoted and as a peer.
 *
 * Every connected peer is asked (prepare) and consents or refuses; who consented refuses any
 * other promotion until commit, abort or disconnection. Of two at once the lower rank wins: a
 * round that is still asking gives way to it, and who consented to the higher one lets the
 * lower one wait for that one's end.
 */
import type { Timer } from '../model/clock';
import { MirrorError } from '../model/errors';
import type { NodeName } from '../model/states';
import type { Core } from './core';
import type { Frame, SentFrame } from './frames';
import type { Refusal } from './words';

export type PromotionFrame = Extract<
  Frame,
  { readonly type: 'prepare' | 'consent' | 'refuse' | 'commit' | 'abort' }
>;

interface Round {
  readonly id: number;
  readonly asked: Set<NodeName>;
  readonly waiting: Set<NodeName>;
  phase: 'asking' | 'decided';
  failure: MirrorError | undefined;
  settle: (() => void) | undefined;
}

interface Claim {
  readonly peer: NodeName;
  readonly id: number;
}

export class PromotionDesk {
  private lastId = 0;
  private round: Round | undefined;
  private consented: Claim | undefined;
  private parked: Claim | undefined;

  constructor(
    private readonly core: Core,
    private readonly send: (peer: NodeName, frame: SentFrame) => void,
    /** A peer was promised that this copy stays Secondary. */
    private readonly onConsent: (peer: NodeName) => void,
    /** A Primary that is becoming connected. */
    private readonly tryPrimary: (except: NodeName) => NodeName | undefined,
  ) {}

  /** @throws InTransition while another node is being promoted */
  begin(): void {
    if (this.consented !== undefined) throw giveWay(this.core, this.consented.peer);
    this.lastId += 1;
    this.round = {
      id: this.lastId,
      asked: new Set(),
      waiting: new Set(),
      phase: 'asking',
      failure: undefined,
      settle: undefined,
    };
  }

  /** Resolves when all consent. @throws what a peer refused with, InTransition, TimedOut */
  async ask(peers: readonly NodeName[]): Promise<void> {
    const round = this.round;
    if (round === undefined) throw giveWay(this.core, this.consented?.peer ?? this.core.node);
    for (const peer of peers) {
      round.asked.add(peer);
      round.waiting.add(peer);
      this.send(peer, { type: 'prepare', id: round.id });
    }
    await this.answers(round);
    if (round.failure !== undefined) throw round.failure;
    round.phase = 'decided';
  }

  commit(): void {
    this.finish('commit');
  }

  abort(): void {
    this.finish('abort');
  }

  onFrame(peer: NodeName, frame: PromotionFrame): void {
    switch (frame.type) {
      case 'prepare':
        this.onPrepare({ peer, id: frame.id });
        return;
      case 'consent':
        this.onAnswer(peer, frame.id, undefined);
        return;
      case 'refuse':
        this.onAnswer(peer, frame.id, new MirrorError(frame.code, frame.message));
        return;
      case 'commit':
      case 'abort':
        this.release(peer);
    }
  }

  /** The connection is gone: its consent, and the promise to it, with it. */
  onLost(peer: NodeName): void {
    if (this.round?.asked.delete(peer) === true) this.onAnswer(peer, this.round.id, undefined);
    this.release(peer);
  }

  private answers(round: Round): Promise<void> {
    if (round.waiting.size === 0 || round.failure !== undefined) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = this.startDeadline(round);
      round.settle = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  /** A peer that is gone has been found out by then, and is not waited for. */
  private startDeadline(round: Round): Timer {
    const { environment, timeoutMs, name } = this.core;
    return environment.clock.after(2 * timeoutMs, () => {
      const silent = [...round.waiting].join(', ');
      const message = `${silent} did not answer whether ${name} may be promoted: try again`;
      this.fail(round, new MirrorError('TimedOut', message));
    });
  }

  private onAnswer(peer: NodeName, id: number, refusal: MirrorError | undefined): void {
    const round = this.round;
    if (round?.id !== id || !round.waiting.delete(peer)) return;
    if (refusal !== undefined) this.fail(round, refusal);
    else if (round.waiting.size === 0) round.settle?.();
  }

  private fail(round: Round, failure: MirrorError): void {
    round.failure ??= failure;
    round.settle?.();
  }

  private finish(type: 'commit' | 'abort'): void {
    const round = this.round;
    this.round = undefined;
    if (round === undefined) return;
    for (const peer of round.asked) this.send(peer, { type, id: round.id });
  }

  private onPrepare(claim: Claim): void {
    const refusal = this.objection(claim);
    if (refusal !== undefined) this.refuse(claim, refusal);
    else if (this.consented === undefined || this.isOfSame(claim)) this.consent(claim);
    else this.parked = claim;
  }

  private objection(claim: Claim): Refusal | undefined {
    const { gate, name, node } = this.core;
    const state = gate.snapshot();
    const message = `${node} is Primary for ${name}: demote it there first`;
    if (state.role === 'Primary') return { code: 'PeerIsPrimary', message };
    for (const [other, { role }] of state.peers) {
      if (other !== claim.peer && role === 'Primary') return primaryElsewhere(other, name);
    }
    const coming = this.tryPrimary(claim.peer);
    if (coming !== undefined) return primaryElsewhere(coming, name);
    if (this.mustYieldTo(this.round, claim)) return busy(name, node);
    const rival = this.consented;
    const behind = rival !== undefined && rival.peer <= claim.peer && rival.peer !== claim.peer;
    return behind ? busy(name, rival.peer) : undefined;
  }

  /** Must the claim yield to this node's own round? */
  private mustYieldTo(round: Round | undefined, claim: Claim): boolean {
    if (round === undefined || round.failure !== undefined) return false;
    return round.phase === 'decided' || this.core.outranks(claim.peer);
  }

  /** A node has one round at a time: its new claim says that the one consented to has ended. */
  private isOfSame({ peer }: Claim): boolean {
    return this.consented?.peer === peer;
  }

  private consent(claim: Claim): void {
    if (this.round !== undefined) this.fail(this.round, giveWay(this.core, claim.peer));
    this.consented = claim;
    this.core.promised = claim.peer;
    this.onConsent(claim.peer);
    this.send(claim.peer, { type: 'consent', id: claim.id });
  }

  private refuse(claim: Claim, { code, message }: Refusal): void {
    this.send(claim.peer, { type: 'refuse', id: claim.id, code, message });
  }

  /** Its round has ended, also where it still waited for another one's. */
  private release(peer: NodeName): void {
    if (this.parked?.peer === peer) this.parked = undefined;
    if (this.consented?.peer !== peer) return;
    this.consented = this.core.promised = undefined;
    const parked = this.parked;
    this.parked = undefined;
    if (parked !== undefined) this.onPrepare(parked);
  }
}

function busy(resource: string, node: NodeName): Refusal {
  const message = `${node} is being promoted for ${resource} at the same time: try again`;
  return { code: 'InTransition', message };
}

function primaryElsewhere(node: NodeName, resource: string): Refusal {
  const message = `${node} is Primary for ${resource}: demote it there first`;
  return { code: 'PeerIsPrimary', message };
}

function giveWay(core: Core, winner: NodeName): MirrorError {
  const { code, message } = busy(core.name, winner);
  return new MirrorError(code, message);
}
