/**
 * Who gives up in split brain by itself (after-sb-0pri, -1pri, -2pri), and what becomes of a
 * Primary that would have to become a target (rr-conflict). Pure and antisymmetric; the default
 * of every policy is `disconnect`: neither drops anything.
 *
 * A Primary's data never changes under its application: a Primary that loses stops being one
 * first (`yields`), by itself where nothing uses it, cut off from what does where the policy is
 * violent, and otherwise with the help of a handler.
 */
import { NO_POLICIES } from '../model/policies';
import type { SplitBrainPolicies, ZeroPolicy } from '../model/policies';
import { canBeSource, otherSide } from './identity';
import type { Identity, Side } from './identity';

export type PrimaryLostHandler = 'pri-lost' | 'pri-lost-after-sb';

export type Outcome =
  | { readonly kind: 'undecided' }
  /** A Secondary: it becomes the target. */
  | { readonly kind: 'discards'; readonly who: Side }
  | Yields;

/** A Primary that has to stop being one, and gives up what it wrote. */
export interface Yields {
  readonly kind: 'yields';
  readonly who: Side;
  /** Whoever uses the device is cut off. */
  readonly force: boolean;
  /** Run where it is in use, and not forced. */
  readonly handler: PrimaryLostHandler;
}

const UNDECIDED: Outcome = { kind: 'undecided' };

/** The option in which the two nodes differ; undefined: they agree. */
export function policyConflict(
  own: SplitBrainPolicies,
  peer: SplitBrainPolicies,
): keyof SplitBrainPolicies | undefined {
  const mirrored: SplitBrainPolicies = { ...peer, zero: mirrorZero(peer.zero) };
  const keys = Object.keys(NO_POLICIES) as (keyof SplitBrainPolicies)[];
  return keys.find((key) => own[key] !== mirrored[key]);
}

/** What the other node calls the same. */
export function mirrorZero(policy: ZeroPolicy): ZeroPolicy {
  if (policy === 'discard-local') return 'discard-remote';
  return policy === 'discard-remote' ? 'discard-local' : policy;
}

export function settleSplitBrain(own: Identity, peer: Identity): Outcome {
  if (policyConflict(own.policies, peer.policies) !== undefined) return UNDECIDED;
  const outcome = outcomeOf(own, peer);
  if (outcome.kind === 'undecided') return outcome;
  const source = outcome.who === 'own' ? peer : own;
  return canBeSource(source) ? outcome : UNDECIDED;
}

/** The newer copy meets a Primary that is behind it. */
export function settleConflict(own: Identity, peer: Identity, primary: Side): Outcome {
  if (policyConflict(own.policies, peer.policies) !== undefined) return UNDECIDED;
  const { conflict } = own.policies;
  if (conflict === 'disconnect') return UNDECIDED;
  const force = conflict === 'violently';
  return { kind: 'yields', who: primary, force, handler: 'pri-lost' };
}

function outcomeOf(own: Identity, peer: Identity): Outcome {
  const primaries = [own, peer].filter((copy) => copy.role === 'Primary').length;
  const victim = zeroPrimaries(own, peer);
  if (primaries === 1) return onePrimary(own, victim);
  if (victim === undefined) return UNDECIDED;
  if (primaries === 0) return { kind: 'discards', who: victim };
  const policy = own.policies.two;
  return policy === 'disconnect' ? UNDECIDED : yieldAfterSplit(victim, policy);
}

function onePrimary(own: Identity, victim: Side | undefined): Outcome {
  const policy = own.policies.one;
  const secondary: Side = own.role === 'Primary' ? 'peer' : 'own';
  if (policy === 'disconnect') return UNDECIDED;
  if (policy === 'discard-secondary') return { kind: 'discards', who: secondary };
  if (victim === undefined) return UNDECIDED;
  if (victim === secondary) return { kind: 'discards', who: secondary };
  return policy === 'consensus' ? UNDECIDED : yieldAfterSplit(victim, policy);
}

function yieldAfterSplit(who: Side, policy: 'violently-as0p' | 'call-pri-lost-after-sb'): Yields {
  const force = policy === 'violently-as0p';
  return { kind: 'yields', who, force, handler: 'pri-lost-after-sb' };
}

/** Whose changes go, by after-sb-0pri alone; undefined: it does not say. */
function zeroPrimaries(own: Identity, peer: Identity): Side | undefined {
  switch (own.policies.zero) {
    case 'disconnect':
      return undefined;
    case 'discard-younger-primary':
      return youngerPrimary(own, peer) ?? fewerChanges(own, peer);
    case 'discard-older-primary': {
      const younger = youngerPrimary(own, peer);
      return younger === undefined ? fewerChanges(own, peer) : otherSide(younger);
    }
    case 'discard-zero-changes':
      return changedBytes(own) > 0n && changedBytes(peer) > 0n
        ? undefined
        : fewerChanges(own, peer);
    case 'discard-least-changes':
      return fewerChanges(own, peer);
    case 'discard-local':
      return 'own';
    case 'discard-remote':
      return 'peer';
  }
}

/** Who became Primary without the other, where the other was Primary when they parted. */
function youngerPrimary(own: Identity, peer: Identity): Side | undefined {
  if (own.promotedApart === peer.promotedApart) return undefined;
  return own.promotedApart ? 'own' : 'peer';
}

/** Of equals the higher rank gives up. */
function fewerChanges(own: Identity, peer: Identity): Side {
  const difference = changedBytes(own) - changedBytes(peer);
  if (difference !== 0n) return difference < 0n ? 'own' : 'peer';
  return own.rank > peer.rank ? 'own' : 'peer';
}

/** What it has written, or may have, since the two parted. */
export function changedBytes(copy: Identity): bigint {
  return copy.fullSync ? copy.sizeBytes : copy.outOfSyncBytes;
}
