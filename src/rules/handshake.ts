/**
 * What two nodes that meet do with their copies (DESIGN section 6, rules 6 and 7).
 *
 * Each node computes the verdict from the same two identities; it is deterministic and
 * antisymmetric, so both know what the other will do. The rules are tried in the order of
 * judge(); the first that answers decides. No rule ever clears a bit: equal generations with a
 * bit on either side are resynced by the union of both bitmaps.
 *
 * `markAll`: nothing covers the differences, so both set every bit before the exchange. A full
 * resync that was interrupted goes on without it, by the bits that are left.
 */
import { JUST_CREATED_UUID } from '../model/states';
import type { Protocol } from '../model/states';
import { canBeSource, hasDisk, mayLack, otherSide } from './identity';
import type { Identity, Side } from './identity';
import { relate } from './relation';
import type { Cover, Relation } from './relation';
import { chooseSource } from './source';
import { settleConflict, settleSplitBrain } from './splitBrain';
import type { Yields } from './splitBrain';

export type WaitReason =
  | 'noDisk'
  | 'lostWrites'
  | 'noSource'
  | 'newerIsInconsistent'
  | 'sourceOutdated'
  | 'waitsForPrimary'
  | 'otherPrimary'
  | 'waitsForOtherResync'
  | 'clientsSawOther';

export interface ResyncVerdict {
  readonly kind: 'resync';
  readonly direction: 'source' | 'target';
  readonly by: Cover;
  readonly markAll: boolean;
  /** Always: the union of both bitmaps is what is copied. */
  readonly exchangeBitmaps: true;
}

export type Verdict =
  | { readonly kind: 'inSync' }
  /** `who` is a Primary without a disk; the other's copy serves its clients. */
  | { readonly kind: 'served'; readonly who: Side }
  | ResyncVerdict
  /** Connected, nothing to do. */
  | { readonly kind: 'bothJustCreated' }
  /** Connected, but nothing can be done until something else changes. */
  | { readonly kind: 'waits'; readonly why: WaitReason }
  | { readonly kind: 'splitBrain' }
  /** Split brain in which a policy makes a Primary stop being one and give up. */
  | Yields
  | { readonly kind: 'reverted'; readonly who: Side | 'both' }
  | { readonly kind: 'unrelated' }
  | { readonly kind: 'refused'; readonly why: 'sizesDiffer' | 'blockSizesDiffer' };

type Related = Exclude<Relation, { readonly kind: 'unrelated' }>;

interface Meeting {
  readonly own: Identity;
  readonly peer: Identity;
  /** Of the resource. */
  readonly nodes: number;
  readonly protocol: Protocol;
  readonly relation: Relation;
}

export function decide(own: Identity, peer: Identity, nodes: number, protocol: Protocol): Verdict {
  const meeting = { own, peer, nodes, protocol, relation: relate(own, peer) };
  return amongSecondaries(meeting, takeNothingOutdated(meeting, judge(meeting)));
}

/** The verdict as the other node sees it. */
export function swapVerdict(verdict: Verdict): Verdict {
  if (verdict.kind === 'resync') {
    return { ...verdict, direction: verdict.direction === 'source' ? 'target' : 'source' };
  }
  if (verdict.kind === 'served') return { kind: 'served', who: otherSide(verdict.who) };
  if (verdict.kind === 'yields') return { ...verdict, who: otherSide(verdict.who) };
  if (verdict.kind === 'reverted' && verdict.who !== 'both') {
    return { kind: 'reverted', who: otherSide(verdict.who) };
  }
  return verdict;
}

/** This copy becomes what the peer's is. */
export function makesTarget(verdict: Verdict): boolean {
  return verdict.kind === 'resync' && verdict.direction === 'target';
}

export function sameVerdict(a: Verdict, b: Verdict): boolean {
  return verdictKey(a) === verdictKey(b);
}

function verdictKey(verdict: Verdict): string {
  switch (verdict.kind) {
    case 'resync':
      return `resync ${verdict.direction} ${verdict.by} ${verdict.markAll}`;
    case 'waits':
    case 'refused':
      return `${verdict.kind} ${verdict.why}`;
    case 'reverted':
      return `reverted ${verdict.who}`;
    case 'served':
      return `served ${verdict.who}`;
    case 'yields':
      return `yields ${verdict.who} ${verdict.force} ${verdict.handler}`;
    default:
      return verdict.kind;
  }
}

function judge(meeting: Meeting): Verdict {
  const { relation } = meeting;
  const first = refuseSizes(meeting) ?? refuseTwoPrimaries(meeting) ?? serveOrWaitForDisk(meeting);
  if (first !== undefined) return first;
  if (relation.kind === 'unrelated') return { kind: 'unrelated' };
  const past = takeBackReverted(meeting) ?? keepToWhatClientsSaw(meeting);
  return past ?? judgeRelation(meeting, relation);
}

function refuseSizes({ own, peer }: Meeting): Verdict | undefined {
  if (own.sizeBytes !== peer.sizeBytes) return { kind: 'refused', why: 'sizesDiffer' };
  if (own.blockBytes !== peer.blockBytes) return { kind: 'refused', why: 'blockSizesDiffer' };
  return undefined;
}

function serveOrWaitForDisk({ own, peer, protocol }: Meeting): Verdict | undefined {
  if (hasDisk(own) && hasDisk(peer)) return undefined;
  const served = whoIsServed(own, peer);
  if (served === undefined) return { kind: 'waits', why: 'noDisk' };
  const [primary, copy] = served === 'own' ? [own, peer] : [peer, own];
  if (wentBack(copy, primary)) return { kind: 'reverted', who: otherSide(served) };
  const lacks = primary.outOfSyncBytes > 0n || mayLackSinceMet(copy, primary, protocol);
  return lacks ? { kind: 'waits', why: 'lostWrites' } : { kind: 'served', who: served };
}

/**
 * Its clients have seen what a crash since may have cost the copy: also what was never
 * acknowledged, where the copy crashed as Primary and this one took its place.
 */
function mayLackSinceMet(copy: Identity, primary: Identity, protocol: Protocol): boolean {
  if (copy.generation === primary.rememberedGeneration) return false;
  return mayLack(copy, protocol) || copy.crashedPrimary;
}

function whoIsServed(own: Identity, peer: Identity): Side | undefined {
  if (hasAllOf(peer, own)) return 'own';
  return hasAllOf(own, peer) ? 'peer' : undefined;
}

/**
 * By its generation the copy has all that clients of a Primary without a disk have seen, but for
 * what they were answered before it had that (protocols A and B), which is marked.
 */
function hasAllOf(copy: Identity, primary: Identity): boolean {
  if (primary.role !== 'Primary' || hasDisk(primary) || primary.exposedUuid === 0n) return false;
  if (!canBeSource(copy)) return false;
  return copy.currentUuid === primary.exposedUuid || copy.currentUuid === primary.currentUuid;
}

/** Two Primaries are split brain, whatever their generations say. */
function refuseTwoPrimaries(meeting: Meeting): Verdict | undefined {
  const { own, peer, relation } = meeting;
  if (own.role !== 'Primary' || peer.role !== 'Primary') return undefined;
  const strange = wentBack(own, peer) || wentBack(peer, own);
  const related = !strange && 'cover' in relation ? relation.cover : undefined;
  const cover = relation.kind === 'equal' ? 'bitmap' : related;
  return cover === undefined ? { kind: 'splitBrain' } : judgeByPolicy(meeting, cover);
}

function takeBackReverted({ own, peer }: Meeting): Verdict | undefined {
  const ownReverted = wentBack(own, peer);
  const peerReverted = wentBack(peer, own);
  if (!ownReverted && !peerReverted) return undefined;
  if (ownReverted && peerReverted) return { kind: 'reverted', who: 'both' };
  const who: Side = ownReverted ? 'own' : 'peer';
  const [copy, other] = ownReverted ? [own, peer] : [peer, own];
  return mayBeOverwritten(copy, other) ? resyncTo(who, 'full', true) : { kind: 'reverted', who };
}

/**
 * A restored copy raises its generation like any other: that it forgot the last meeting gives it
 * away. Never said of a fresh copy: all of it is overwritten anyway.
 */
function wentBack(copy: Identity, other: Identity): boolean {
  if (copy.currentUuid === JUST_CREATED_UUID) return false;
  return copy.metGeneration < other.rememberedGeneration;
}

function mayBeOverwritten(copy: Identity, other: Identity): boolean {
  const asked = copy.takeMeBack && !other.takeMeBack;
  return asked && copy.role !== 'Primary' && canBeSource(other);
}

/**
 * A Primary whose copy is behind lost its source: only a copy that has all that its clients have
 * seen may take that place. Any other is taken once it is Secondary: nothing of it is lost then.
 */
function keepToWhatClientsSaw(meeting: Meeting): Verdict | undefined {
  const { protocol, relation } = meeting;
  for (const who of ['own', 'peer'] as const) {
    const [primary, copy] = orient(meeting, who);
    const behind = primary.role === 'Primary' && hasDisk(primary) && !canBeSource(primary);
    if (!behind || primary.exposedUuid === 0n || !canBeSource(copy)) continue;
    if (!hasWhatClientsSaw(copy, primary, protocol))
      return { kind: 'waits', why: 'clientsSawOther' };
    if (hasUnseen(relation, who)) return resyncTo(who, 'full', true);
  }
  return undefined;
}

/**
 * The disk of that Primary failed while it wrote down the beginning of a generation: nothing of
 * that was acknowledged, and its clients went on with the other copy, which does not know it.
 */
function hasUnseen(relation: Relation, primary: Side): boolean {
  if (relation.kind === 'diverged') return true;
  return relation.kind === 'behind' && relation.who !== primary;
}

/**
 * Of what is in sync clients read the own copy. Another that crashed may differ there, also
 * when it lost nothing: in writes that were never acknowledged. Of a copy that was just attached
 * they have read nothing: they were served by the other.
 */
function hasWhatClientsSaw(copy: Identity, primary: Identity, protocol: Protocol): boolean {
  if (copy.currentUuid !== primary.exposedUuid) return false;
  if (primary.diskState === 'Negotiating') return !mayLackSinceMet(copy, primary, protocol);
  return !(copy.crashed && copy.generation !== primary.rememberedGeneration);
}

function judgeRelation(meeting: Meeting, relation: Related): Verdict {
  switch (relation.kind) {
    case 'bothJustCreated':
      return { kind: 'bothJustCreated' };
    case 'equal':
      return judgeEqual(meeting);
    case 'behind':
      return judgeBehind(meeting, relation.who, relation.cover);
    case 'diverged':
      return judgeDiverged(meeting, relation.cover);
  }
}

function judgeEqual({ own, peer, protocol }: Meeting): Verdict {
  const source = chooseSource(own, peer, protocol);
  if (source === undefined) return { kind: 'waits', why: 'noSource' };
  const marked = own.outOfSyncBytes > 0n || peer.outOfSyncBytes > 0n;
  const full = own.fullSync || peer.fullSync;
  if (!marked && !full && isCurrent(own) && isCurrent(peer)) return { kind: 'inSync' };
  return resyncTo(otherSide(source), full ? 'full' : 'bitmap', false);
}

function isCurrent(copy: Identity): boolean {
  return canBeSource(copy) && copy.wasUpToDate && !copy.outdated;
}

function judgeBehind(meeting: Meeting, who: Side, cover: Cover): Verdict {
  const [target, source] = orient(meeting, who);
  if (mayBeOverwritten(source, target)) return resyncTo(otherSide(who), 'full', true);
  if (!canBeSource(source)) {
    return { kind: 'waits', why: canBeSource(target) ? 'newerIsInconsistent' : 'noSource' };
  }
  // The data under a running application would change: both copies have been in use.
  if (target.role === 'Primary' && canBeSource(target)) return judgeConflict(meeting, who, cover);
  if (cover === 'full' || !trustsBitmaps(meeting)) return resyncTo(who, 'full', true);
  const full = target.fullSync || source.fullSync;
  return resyncTo(who, full ? 'full' : 'bitmap', false);
}

/** The newer copy may be given up, or the Primary that is behind it yield. */
function judgeConflict(meeting: Meeting, primary: Side, cover: Cover): Verdict {
  const [behind, newer] = orient(meeting, primary);
  if (givesUp(newer, behind)) return discard(meeting, otherSide(primary), cover);
  const outcome = settleConflict(meeting.own, meeting.peer, primary);
  return outcome.kind === 'yields' ? outcome : { kind: 'splitBrain' };
}

/** With a third node that may have been Primary, two Secondaries know little of each other. */
function trustsBitmaps({ own, peer, nodes }: Meeting): boolean {
  return nodes <= 2 || own.role === 'Primary' || peer.role === 'Primary';
}

function judgeDiverged(meeting: Meeting, cover: Cover): Verdict {
  const victims = (['own', 'peer'] as const).filter((who) => {
    const [copy, other] = orient(meeting, who);
    return mayBeOverwritten(copy, other) || givesUp(copy, other) || hasNothing(copy, other);
  });
  const [victim, second] = victims;
  if (victim === undefined) return judgeByPolicy(meeting, cover);
  if (second !== undefined) return { kind: 'splitBrain' };
  const [copy, other] = orient(meeting, victim);
  return discard(meeting, victim, givesUp(copy, other) ? cover : 'full');
}

/** What an administrator asked for goes before the policies. */
function judgeByPolicy(meeting: Meeting, cover: Cover): Verdict {
  const { own, peer } = meeting;
  const known = cover === 'bitmap' && trustsBitmaps(meeting);
  if (!known && !own.policies.always) return { kind: 'splitBrain' };
  if (own.discardMyData && peer.discardMyData) return { kind: 'splitBrain' };
  const outcome = settleSplitBrain(own, peer);
  if (outcome.kind === 'undecided') return { kind: 'splitBrain' };
  return outcome.kind === 'yields' ? outcome : discard(meeting, outcome.who, cover);
}

function discard(meeting: Meeting, victim: Side, cover: Cover): ResyncVerdict {
  const byBitmap = cover === 'bitmap' && trustsBitmaps(meeting);
  return resyncTo(victim, byBitmap ? 'bitmap' : 'full', !byBitmap);
}

/** `--discard-my-data`, on one side only and never under a running application. */
function givesUp(copy: Identity, other: Identity): boolean {
  const asked = copy.discardMyData && !other.discardMyData;
  return asked && copy.role !== 'Primary' && canBeSource(other);
}

/** An unfinished copy that has begun no generation of its own without the other. */
function hasNothing(copy: Identity, other: Identity): boolean {
  if (copy.role === 'Primary' || copy.consistent) return false;
  return copy.bitmapUuid === 0n && canBeSource(other);
}

function orient({ own, peer }: Meeting, who: Side): [Identity, Identity] {
  return who === 'own' ? [own, peer] : [peer, own];
}

function resyncTo(who: Side, by: Cover, markAll: boolean): ResyncVerdict {
  const direction = who === 'own' ? 'target' : 'source';
  return { kind: 'resync', direction, by, markAll, exchangeBitmaps: true };
}

/**
 * A copy that is known to be older than another is no source, unless a Primary waits for it: then
 * it has been found to have all that clients have seen; or the only other copy is not newer.
 */
function takeNothingOutdated(meeting: Meeting, verdict: Verdict): Verdict {
  if (verdict.kind !== 'resync') return verdict;
  const [target, source] = orient(meeting, targetOf(verdict));
  if (!source.outdated || target.exposedUuid !== 0n) return verdict;
  return isRefuted(meeting) ? verdict : { kind: 'waits', why: 'sourceOutdated' };
}

/** Of two copies neither went on without the other: what is Outdated was not overtaken. */
function isRefuted({ relation, nodes, protocol }: Meeting): boolean {
  return nodes <= 2 && relation.kind === 'equal' && protocol !== 'A';
}

/**
 * With three nodes and more: a copy has one Primary at a time; while a Primary is connected to
 * either, it does the copying; and two UpToDate copies of one generation wait for the next
 * Primary rather than make one of them Inconsistent when it may be needed.
 */
function amongSecondaries(meeting: Meeting, verdict: Verdict): Verdict {
  const { own, peer, nodes } = meeting;
  const target = verdict.kind === 'resync' && orient(meeting, targetOf(verdict))[0];
  if (target !== false && target.resyncsFromOther) {
    return { kind: 'waits', why: 'waitsForOtherResync' };
  }
  if (nodes <= 2) return verdict;
  if (own.role === 'Primary' || peer.role === 'Primary') return keepToOne(meeting, verdict);
  const known = own.knowsPrimary || peer.knowsPrimary;
  const noDisk = verdict.kind === 'waits' && ['noDisk', 'lostWrites'].includes(verdict.why);
  const left = ['resync', 'splitBrain', 'waits'].includes(verdict.kind);
  if (known && left && !noDisk) return { kind: 'waits', why: 'waitsForPrimary' };
  const idle = meeting.relation.kind === 'equal' && isUsable(own) && isUsable(peer);
  if (idle && verdict.kind === 'resync') return { kind: 'waits', why: 'waitsForPrimary' };
  return verdict;
}

/** A copy that a Primary feeds takes nothing from another Primary, nor gives it anything. */
function keepToOne({ own, peer }: Meeting, verdict: Verdict): Verdict {
  const joins = ['inSync', 'served', 'resync'].includes(verdict.kind);
  const fed = own.knowsPrimary || peer.knowsPrimary;
  return joins && fed ? { kind: 'waits', why: 'otherPrimary' } : verdict;
}

function targetOf(verdict: ResyncVerdict): Side {
  return verdict.direction === 'target' ? 'own' : 'peer';
}

function isUsable(copy: Identity): boolean {
  return isCurrent(copy) && !copy.crashed && !copy.fullSync;
}
