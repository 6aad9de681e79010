/**
 * Whom a Primary waits for whose own copy cannot serve its clients: it was SyncTarget and lost its
 * source, or has no backing disk and no peer that serves. In words, for the status and the log;
 * requests wait in the data plane.
 */
import type { NodeName } from '../model/states';
import { isAttached, isTarget } from '../rules/transitions';
import type { PeerState, ResourceState } from '../rules/transitions';
import type { Core } from './core';

export class DataWait {
  /** The peer that last had the data, and was lost. */
  private last: NodeName | undefined;

  constructor(private readonly core: Core) {
    core.gate.subscribe((before, after) => this.follow(before, after));
  }

  /** Empty: requests can be served, or this node is not Primary. */
  get reason(): string {
    const { role, diskState, peers } = this.core.gate.snapshot();
    const gone = !isAttached(diskState);
    const lacks = gone || diskState === 'Inconsistent';
    if (role !== 'Primary' || !lacks || [...peers.values()].some(hasData)) return '';
    const whom = this.last ?? 'an UpToDate peer';
    if (gone) return `waits for ${whom}: it has the data, there is no backing disk here`;
    return (
      `waits for ${whom}: it has data that this copy lacks; bring it back, or give that data up ` +
      `with promote ${this.core.name} --force`
    );
  }

  private follow(before: ResourceState, after: ResourceState): void {
    for (const [name, peer] of before.peers) {
      const now = after.peers.get(name);
      if (hasData(peer) && (now === undefined || !hasData(now))) this.last = name;
    }
  }
}

/** Of a peer of such a Primary: requests go to it. */
function hasData({ replicationState }: PeerState): boolean {
  return isTarget(replicationState) || replicationState === 'Established';
}
