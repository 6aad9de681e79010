/**
 * How two copies are related by their generation identifiers alone: the comparison of DESIGN
 * section 6, in DRBD 9's order. Roles, flags and disk states come afterwards, in handshake.ts.
 *
 * Antisymmetric: swapping the arguments swaps `own` and `peer` in the answer. Where two facts
 * contradict each other, a bitmap towards the very peer outweighs one towards another node, and
 * that outweighs the history (it is the latest decision); between equals nothing decides.
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
  const uuid = copy.currentUuid;
  const leftBehind = wentOnFrom(ahead, uuid);
  // A copy that was given up for it is behind it as long as that is not finished.
  if (uuid === ahead.bitmapUuid && (leftBehind || !copy.consistent)) return BY_BITMAP;
  if (!leftBehind) return 0;
  return ahead.otherBitmapUuids.includes(uuid) ? BY_OTHER_BITMAP : BY_HISTORY;
}

/**
 * Its history has each generation that it went on from, as long as a bitmap begins there. A bitmap
 * that begins elsewhere is towards a copy that was given up for this one, which says nothing about
 * a third copy of that generation.
 */
function wentOnFrom(copy: Identity, uuid: Uuid): boolean {
  return copy.historyUuids.includes(uuid);
}

function behind(who: Side, evidence: number): Relation {
  return { kind: 'behind', who, cover: evidence === BY_BITMAP ? 'bitmap' : 'full' };
}

function relateAncestors(own: Identity, peer: Identity): Relation {
  const parted = own.bitmapUuid;
  const isCommon = peer.bitmapUuid === parted && wentOnFrom(own, parted);
  if (isCommon && wentOnFrom(peer, parted)) return { kind: 'diverged', cover: 'bitmap' };
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
