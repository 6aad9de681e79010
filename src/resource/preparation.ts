/**
 * What must be durable on this side before a verdict may be acted on. Pure.
 *
 * Both remember their meeting: first each its own generation, here, and the peer's only once the
 * peer has said that it has done so (`remembering`). A copy that does not know of a meeting that
 * its peer remembers was restored from an older state.
 *
 * A target is Inconsistent before the first block arrives. A source remembers in its bitmapUuid
 * towards the target which generation the target began from: an interrupted resync then goes
 * on by the bits that are left, also one that was ordered against the generations. A source is
 * not Outdated any more: the handshake has found that nothing newer was seen.
 */
import type { Metadata, MetadataPatch, PeerPatch, Slot } from '../plane/plane';
import type { Verdict } from '../rules/handshake';
import type { Identity } from '../rules/identity';

/** undefined: nothing changes. */
export function preparation(
  verdict: Verdict,
  own: Metadata,
  slot: Slot,
  peer: Identity,
): MetadataPatch | undefined {
  if (verdict.kind !== 'inSync' && verdict.kind !== 'resync') return undefined;
  const record = own.peers.find((candidate) => candidate.slot === slot);
  const change: { -readonly [K in keyof PeerPatch]: PeerPatch[K] } = { slot };
  if (record?.metGeneration !== own.generation) change.metGeneration = own.generation;
  const bitmapUuid = preparedBitmapUuid(verdict, own, peer);
  if (bitmapUuid !== undefined && record?.bitmapUuid !== bitmapUuid) change.bitmapUuid = bitmapUuid;
  if (verdict.kind === 'resync' && verdict.markAll) change.fullSync = true;
  // It knows again who is Primary.
  if (record?.outdated === true) change.outdated = false;
  const target = verdict.kind === 'resync' && verdict.direction === 'target';
  const declares = target && own.consistent;
  const current = verdict.kind === 'resync' && verdict.direction === 'source' && own.outdated;
  if (!declares && !current && Object.keys(change).length === 1) return undefined;
  return {
    ifCurrentUuid: own.currentUuid,
    ...(declares ? { consistent: false } : {}),
    ...(current ? { outdated: false } : {}),
    peers: [change],
  };
}

/** After `ready`: the peer durably knows of this meeting. undefined: nothing changes. */
export function remembering(
  verdict: Verdict,
  own: Metadata,
  slot: Slot,
  peer: Identity,
): MetadataPatch | undefined {
  if (verdict.kind !== 'inSync' && verdict.kind !== 'resync') return undefined;
  const record = own.peers.find((candidate) => candidate.slot === slot);
  if (record?.generation === peer.generation) return undefined;
  return { peers: [{ slot, generation: peer.generation }] };
}

function preparedBitmapUuid(verdict: Verdict, own: Metadata, peer: Identity): bigint | undefined {
  if (verdict.kind === 'inSync') return 0n;
  const source = verdict.kind === 'resync' && verdict.direction === 'source';
  return source && own.currentUuid !== peer.currentUuid ? peer.currentUuid : undefined;
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
