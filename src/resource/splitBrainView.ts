/**
 * What an administrator needs to know in split brain: when the histories parted, what each node
 * wrote since, and what giving one up would cost. Of this copy as it is now, of the peer's as it
 * said when both last spoke.
 */
import type { SplitBrainSide, SplitBrainStatus } from '../model/status';
import type { NodeName } from '../model/states';
import type { Identity } from '../rules/identity';
import { changedBytes } from '../rules/splitBrain';
import { NO_REQUESTS } from './core';
import type { Core } from './core';
import type { Copies } from './words';

export function splitBrainStatus(core: Core, peer: NodeName, copies: Copies): SplitBrainStatus {
  const own = core.identity(peer, NO_REQUESTS);
  const local = sideOf(own);
  const other = sideOf(copies.peer);
  const times = [local.partedMs, other.partedMs].filter((time) => time !== null);
  return {
    partedMs: times.length === 0 ? null : Math.min(...times),
    resyncBytes: Math.min(Number(own.sizeBytes), local.changedBytes + other.changedBytes),
    local,
    peer: other,
  };
}

function sideOf(copy: Identity): SplitBrainSide {
  return {
    role: copy.role,
    wasPrimary: wasPrimary(copy),
    changedBytes: Number(changedBytes(copy)),
    partedMs: copy.partedMs === 0 ? null : copy.partedMs,
    promotedMs: copy.promotedMs === 0 ? null : copy.promotedMs,
  };
}

/** Only a Primary begins a generation without the other. */
function wasPrimary(copy: Identity): SplitBrainSide['wasPrimary'] {
  if (copy.promotedApart) return 'afterwards';
  return copy.bitmapUuid !== 0n || copy.role === 'Primary' ? 'whenParted' : 'never';
}
