/**
 * A resource whose former process ended as Primary with a kernel device goes on as Primary, so
 * that whoever uses the device sees a pause and no error: by an ordinary promotion, which every
 * peer that can be reached has to allow. Where none answers, the fencing policy decides.
 *
 * While it is under way the hello says so (`resuming`): of equal copies this one is the source,
 * for its clients go on with it. Otherwise requests that wait on the device fail.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import { RESUME_ANSWER_MS, RESUME_LOOK_MS, RESUME_RETRY_MS } from '../model/limits';
import type { NodeName, Uuid } from '../model/states';
import { isTarget } from '../rules/transitions';
import type { Core } from './core';
import type { PeerConnection } from './peerConnection';
import type { RoleCommands } from './roleCommands';

export class Resumption {
  private readonly generation: Uuid;
  /** A peer has written to this copy. */
  private changed = false;

  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
    private readonly roles: RoleCommands,
  ) {
    this.generation = core.device.metadata().currentUuid;
  }

  /** Resolves in either case; what failed is reported. */
  async run(): Promise<void> {
    const { core } = this;
    const unsubscribe = core.gate.subscribe((_, { peers }) => {
      this.changed ||= [...peers.values()].some((peer) => isTarget(peer.replicationState));
    });
    try {
      await this.peersAnswer();
      await this.promote();
    } catch (error) {
      await core.kernel.abandon(toMirrorError(error).message);
    } finally {
      unsubscribe();
      core.resuming = false;
    }
  }

  /** All that can be reached are connected, or time is up. */
  private async peersAnswer(): Promise<void> {
    const { clock } = this.core.environment;
    const end = clock.nowMs() + RESUME_ANSWER_MS;
    while (clock.nowMs() < end && [...this.connections.values()].some(isOpen)) {
      await this.later(RESUME_LOOK_MS);
    }
  }

  /** A peer may be in the middle of something; that it is Primary is an answer. */
  private async promote(): Promise<void> {
    const { clock } = this.core.environment;
    const end = clock.nowMs() + RESUME_RETRY_MS;
    for (;;) {
      try {
        await this.roles.promote(false, () => this.refuseChanged());
        return;
      } catch (error) {
        const known = toMirrorError(error);
        const passes = known.code === 'InTransition' || known.code === 'TimedOut';
        if (!passes || clock.nowMs() >= end || this.core.closing) throw known;
      }
      await this.later(RESUME_LOOK_MS);
    }
  }

  /** Whoever has the device in use must not find other data on it, however current. */
  private refuseChanged(): void {
    const { currentUuid } = this.core.device.metadata();
    if (!this.changed && currentUuid === this.generation) return;
    const message = 'a peer was Primary meanwhile, or had newer data';
    throw new MirrorError('NotUpToDate', message);
  }

  private later(delayMs: number): Promise<void> {
    const { clock } = this.core.environment;
    return new Promise((resolve) => clock.after(delayMs, resolve));
  }
}

/** It may still connect by itself. */
function isOpen(connection: PeerConnection): boolean {
  return !connection.isConnected && connection.standsAloneFor === undefined;
}
