/**
 * Which of two copies of the same generation is copied to the other (rule 7). The first
 * criterion in which they differ decides; the order of the table is the rule.
 */
import { canBeSource } from './identity';
import type { Identity, Side } from './identity';

/** Larger wins. Each may only look at the copy it is given. */
const CRITERIA: readonly ((copy: Identity) => bigint)[] = [
  (copy) => toRank(copy.role === 'Primary'),
  (copy) => toRank(copy.wasUpToDate && !copy.outdated),
  (copy) => toRank(!copy.crashed),
  (copy) => toRank(copy.crashedPrimary),
  (copy) => copy.writeSequence,
  (copy) => -BigInt(copy.rank),
];

/** undefined: neither copy may be handed on. */
export function chooseSource(own: Identity, peer: Identity): Side | undefined {
  const ownMay = canBeSource(own);
  const peerMay = canBeSource(peer);
  if (!ownMay && !peerMay) return undefined;
  if (ownMay !== peerMay) return ownMay ? 'own' : 'peer';
  for (const criterion of CRITERIA) {
    const difference = criterion(own) - criterion(peer);
    if (difference !== 0n) return difference > 0n ? 'own' : 'peer';
  }
  return undefined;
}

function toRank(holds: boolean): bigint {
  return holds ? 1n : 0n;
}
