/**
 * How two copies are related by their generation identifiers alone: the comparison of DESIGN
 * section 6, in DRBD 9's order. Roles, flags and disk states come afterwards, in handshake.ts.
 *
 * Antisymmetric: swapping the arguments swaps `own` and `peer` in the answer. Where two facts
 * contradict each other, a bitmap towards the very peer outweighs one towards another node, and
 * that outweighs the history (it is the latest decision); equals are `contradictory`.
 */
import { JUST_CREATED_UUID } from '../model/states';
import type { Uuid } from '../model/states';
import type { Identity, Side } from './identity';

/** `bitmap`: the bitmaps of both cover all differences; `full`: nothing covers them. */
export type Cover = 'bitmap' | 'full';

export type Relation =
  | { readonly kind: 'bothJustCreated' }
  | { readonly kind: 'equal' }
  | { readonly kind: 'behind'; readonly who: Side; readonly cover: Cover }
  | { readonly kind: 'contradictory' }
  /** Both went on from a common generation. */
  | { readonly kind: 'diverged'; readonly cover: Cover }
  | { readonly kind: 'unrelated' };

export function relate(own: Identity, peer: Identity): Relation {
  const created = relateJustCreated(own, peer);
  if (created !== undefined) return created;
  if (own.currentUuid === peer.currentUuid) return { kind: 'equal' };
  const ownBehind = evidenceBehind(own, peer);
  const peerBehind = evidenceBehind(peer, own);
  if (ownBehind > peerBehind) return behind('own', ownBehind);
  if (peerBehind > ownBehind) return behind('peer', peerBehind);
  if (ownBehind > 0) return { kind: 'contradictory' };
  return relateAncestors(own, peer);
}

function relateJustCreated(own: Identity, peer: Identity): Relation | undefined {
  const ownNew = own.currentUuid === JUST_CREATED_UUID;
  const peerNew = peer.currentUuid === JUST_CREATED_UUID;
  if (ownNew && peerNew) return { kind: 'bothJustCreated' };
  if (ownNew) return { kind: 'behind', who: 'own', cover: coverOfNew(peer) };
  if (peerNew) return { kind: 'behind', who: 'peer', cover: coverOfNew(own) };
  return undefined;
}

/** A source that began to fill a fresh copy remembers that in its bitmapUuid towards it. */
function coverOfNew(source: Identity): Cover {
  return source.bitmapUuid === JUST_CREATED_UUID ? 'bitmap' : 'full';
}

const BY_BITMAP = 3;
const BY_OTHER_BITMAP = 2;
const BY_HISTORY = 1;

/** How strongly `ahead` says that `copy` holds a generation it has left behind; 0: it does not. */
function evidenceBehind(copy: Identity, ahead: Identity): number {
  if (copy.currentUuid === ahead.bitmapUuid) return BY_BITMAP;
  if (ahead.otherBitmapUuids.includes(copy.currentUuid)) return BY_OTHER_BITMAP;
  if (ahead.historyUuids.includes(copy.currentUuid)) return BY_HISTORY;
  return 0;
}

function behind(who: Side, evidence: number): Relation {
  return { kind: 'behind', who, cover: evidence === BY_BITMAP ? 'bitmap' : 'full' };
}

function relateAncestors(own: Identity, peer: Identity): Relation {
  const common = isGeneration(own.bitmapUuid) && own.bitmapUuid === peer.bitmapUuid;
  if (common) return { kind: 'diverged', cover: 'bitmap' };
  const peerPast = new Set(past(peer));
  if (past(own).some((uuid) => peerPast.has(uuid))) return { kind: 'diverged', cover: 'full' };
  return { kind: 'unrelated' };
}

function past(copy: Identity): Uuid[] {
  return [copy.bitmapUuid, ...copy.otherBitmapUuids, ...copy.historyUuids].filter(isGeneration);
}

function isGeneration(uuid: Uuid): boolean {
  return uuid !== 0n && uuid !== JUST_CREATED_UUID;
}
