/**
 * An order to give up this copy for a peer's, which stands until the peer can be reached. It is
 * about what the copy has when it is given: one that another peer fills or writes to meanwhile
 * may be the only one left with what that peer had acknowledged.
 */
import { MirrorError } from '../model/errors';
import type { NodeName, ResourceName } from '../model/states';
import { isTarget } from '../rules/transitions';
import type { PeerState } from '../rules/transitions';
import type { Core } from './core';

/**
 * @throws InvalidArgs where this node is Primary
 * @throws PeerIsPrimary, ResyncRunning where this copy gets what another peer than `sources` has
 */
export function refuseGivingUp({ gate, name }: Core, ...sources: readonly NodeName[]): void {
  const { role, peers } = gate.snapshot();
  if (role === 'Primary') {
    const message = `${name} is Primary here: demote it before its data can be discarded`;
    throw new MirrorError('InvalidArgs', message);
  }
  for (const source of sources) {
    for (const [feeder, peer] of peers) {
      if (feeder !== source) refuseFed(name, source, feeder, peer);
    }
  }
}

function refuseFed(name: ResourceName, source: NodeName, feeder: NodeName, peer: PeerState): void {
  if (peer.role === 'Primary') {
    const message =
      `${feeder} is Primary for ${name}, and this copy has what it writes: give up the copy on ` +
      `${source} instead, or demote ${feeder} first`;
    throw new MirrorError('PeerIsPrimary', message);
  }
  if (!isTarget(peer.replicationState)) return;
  const message = `${feeder} fills this copy of ${name}: wait until that has finished`;
  throw new MirrorError('ResyncRunning', message);
}
