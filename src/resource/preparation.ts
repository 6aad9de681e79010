/**
 * What must be durable on this side before a verdict may be acted on. Pure.
 *
 * Both remember their meeting: first each its own generation, here, and the peer's only once the
 * peer has said that it has done so (`remembering`). A copy that does not know of a meeting that
 * its peer remembers was restored from an older state.
 *
 * A target is Inconsistent before the first block arrives, has nothing of its own any more, and
 * remembers who fills it. A source remembers in its bitmapUuid towards the target which generation
 * that began from, so that an interrupted resync goes on by the bits that are left; a source is not
 * Outdated any more: the handshake has found that nothing newer was seen.
 */
import type { Metadata, MetadataPatch, PeerMetadata, PeerPatch, Slot } from '../plane/plane';
import { makesTarget } from '../rules/handshake';
import type { Verdict } from '../rules/handshake';
import type { Identity } from '../rules/identity';

type Change = { -readonly [K in keyof PeerPatch]: PeerPatch[K] };

/** undefined: nothing changes. */
export function preparation(
  verdict: Verdict,
  own: Metadata,
  slot: Slot,
): MetadataPatch | undefined {
  if (verdict.kind !== 'inSync' && verdict.kind !== 'resync') return undefined;
  const record = recordOf(own, slot);
  const change: Change = { slot };
  if (record?.metGeneration !== own.generation) change.metGeneration = own.generation;
  const parted = record !== undefined && record.bitmapUuid !== 0n;
  if (parted && joins(verdict, own)) change.bitmapUuid = 0n;
  const byOther = makesTarget(verdict) && own.peers.some((one) => one.fills && one.slot !== slot);
  if (verdict.kind === 'resync' && (verdict.markAll || byOther)) change.fullSync = true;
  // It knows again who is Primary.
  if (record?.outdated === true) change.outdated = false;
  const others = makesTarget(verdict) ? fillers(own, change) : [];
  const declares = makesTarget(verdict) && own.consistent;
  const current = isSource(verdict) && own.outdated;
  if (!declares && !current && Object.keys(change).length === 1) return undefined;
  return {
    ifCurrentUuid: own.currentUuid,
    ...(declares ? { consistent: false } : {}),
    ...(current ? { outdated: false } : {}),
    peers: [change, ...others],
  };
}

/**
 * Of three nodes and more, this peer fills the copy from here on, others do not any more: from
 * anybody else it is filled in full, since what it got has no bits towards them. That goes also for
 * who began before: that one takes what it sent for done, and this peer overwrites it.
 */
function fillers({ peers }: Metadata, change: Change): PeerPatch[] {
  const begun = peers.filter((one) => one.fills);
  if (peers.length > 1 && !begun.some(({ slot }) => slot === change.slot)) change.fills = true;
  return begun
    .filter(({ slot }) => slot !== change.slot)
    .map(({ slot }) => ({ slot, fills: false, fullSync: true }));
}

/** It has begun nothing any more without the peer. */
function joins(verdict: Verdict, own: Metadata): boolean {
  // The clients of a Primary have seen what its source has: it is known by that.
  return verdict.kind === 'inSync' || (makesTarget(verdict) && !own.primaryIndicator);
}

/**
 * After `ready`: what the peer has prepared is durable. A target that had not heard of the order to
 * give up its generation might go on in it, which must not count as left behind then. undefined:
 * nothing changes.
 */
export function remembering(
  verdict: Verdict,
  own: Metadata,
  slot: Slot,
  peer: Identity,
): MetadataPatch | undefined {
  if (verdict.kind !== 'inSync' && verdict.kind !== 'resync') return undefined;
  const record = recordOf(own, slot);
  const change: Change = { slot };
  if (record?.generation !== peer.generation) change.generation = peer.generation;
  const leaves = isSource(verdict) && own.currentUuid !== peer.currentUuid;
  if (leaves && record?.bitmapUuid !== peer.currentUuid) change.bitmapUuid = peer.currentUuid;
  return Object.keys(change).length === 1 ? undefined : { peers: [change] };
}

function recordOf(own: Metadata, slot: Slot): PeerMetadata | undefined {
  return own.peers.find((candidate) => candidate.slot === slot);
}

function isSource(verdict: Verdict): boolean {
  return verdict.kind === 'resync' && verdict.direction === 'source';
}

/** Facts that must not change while a handshake is under way. */
const FIXED = [
  'currentUuid',
  'role',
  'generation',
  'knowsPrimary',
  'resyncsFromOther',
  'discardMyData',
  'resuming',
] as const satisfies readonly (keyof Identity)[];

/** Facts that only the preparation itself may change. */
const PREPARED = [
  'consistent',
  'outdated',
  'bitmapUuid',
  'fullSync',
  'takeMeBack',
  'diskState',
] as const satisfies readonly (keyof Identity)[];

/** The name of a fact that is no longer what the peer was told; undefined: all are. */
export function changedFact(
  told: Identity,
  now: Identity,
  prepared: boolean,
): keyof Identity | undefined {
  const facts = prepared ? FIXED : [...FIXED, ...PREPARED];
  return facts.find((fact) => told[fact] !== now[fact]);
}
