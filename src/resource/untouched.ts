/**
 * A copy was declared Inconsistent, to be filled from another node, which came to nothing before a
 * peer with which it is in sync became Primary. Nothing was written into it: it is that Primary's
 * mirror, as it was, and can take its place.
 */
import { toMirrorError } from '../model/errors';
import { diskStateOf } from '../rules/diskState';
import { isTarget } from '../rules/transitions';
import type { Core } from './core';
import { LinkEnd } from './linkEnd';
import type { PeerConnection } from './peerConnection';

/** From here on a peer writes into it. */
export function touch(core: Core): void {
  const whole = core.untouched === 'restoring' || core.device.metadata().consistent;
  if (whole) throw new LinkEnd('this copy is whole again');
  core.untouched = 'no';
}

/** A connection that is still being negotiated may yet fill it: looked at after each change. */
export function reviewUntouched(
  core: Core,
  connections: Iterable<Pick<PeerConnection, 'isNegotiating'>>,
): void {
  if (core.untouched !== 'yes' || !isMirror(core)) return;
  if ([...connections].some((one) => one.isNegotiating)) return;
  core.untouched = 'restoring';
  void restore(core);
}

function isMirror({ gate }: Core): boolean {
  const { role, diskState, peers } = gate.snapshot();
  if (role === 'Primary' || diskState !== 'Inconsistent') return false;
  const states = [...peers.values()];
  if (states.some((peer) => isTarget(peer.replicationState))) return false;
  return states.some((peer) => peer.role === 'Primary' && peer.replicationState === 'Established');
}

async function restore(core: Core): Promise<void> {
  const begun = core.device.metadata().peers.filter((one) => one.fills);
  const peers = begun.map(({ slot }) => ({ slot, fills: false }));
  try {
    await core.updateMetadata({ consistent: true, peers });
    core.gate.propose({ diskState: diskStateOf(core.device.metadata()) });
  } catch (error) {
    core.report({ type: 'failed', error: toMirrorError(error) });
  } finally {
    core.untouched = 'no';
  }
}
