/**
 * A policy for split brain has decided that this node stops being Primary and gives up what it
 * wrote (rules/splitBrain.ts): demotes it, where that can be done, and connects as the one that
 * discards. Where the device is in use and the policy is not violent, the handler is run, which
 * is expected to end that use, or the node; until then both stay StandAlone.
 */
import { toMirrorError } from '../model/errors';
import type { NodeName } from '../model/states';
import type { Yields } from '../rules/splitBrain';
import type { Core } from './core';
import type { PeerConnection } from './peerConnection';
import type { RoleCommands } from './roleCommands';

export class Surrender {
  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
    private readonly roles: RoleCommands,
  ) {}

  /** One command at a time: called in the resource's queue. */
  async run(peer: NodeName, { force, handler }: Yields): Promise<void> {
    if (!this.stillDecided(peer)) return;
    try {
      await this.roles.demote(force);
    } catch (error) {
      this.core.report({ type: 'failed', error: toMirrorError(error) });
      // Not waited for: it may itself demote, which needs the queue.
      void this.core.handlers.run(handler, peer);
      return;
    }
    if (this.stillDecided(peer)) this.connections.get(peer)?.connect({ discardMyData: true });
  }

  private stillDecided(peer: NodeName): boolean {
    return this.connections.get(peer)?.standsAloneFor?.yields !== undefined;
  }
}
