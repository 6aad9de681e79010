/**
 * Which of two copies of the same generation is copied to the other (rule 7). The first
 * criterion in which they differ decides; the order of the table is the rule.
 *
 * A Primary's crash may cost it, with its power, what it had not flushed. In protocols B and C the
 * node that stayed up has everything that was acknowledged: it received that, and applied what it
 * received. In A it may lack acknowledged writes, also flushed ones, which the crashed Primary
 * has.
 */
import type { Protocol } from '../model/states';
import { canBeSource, mayLack } from './identity';
import type { Identity, Side } from './identity';

/** Larger wins. Each may only look at the copy it is given. */
type Criterion = (copy: Identity) => bigint;

const FIRST: readonly Criterion[] = [
  (copy) => toRank(copy.role === 'Primary'),
  (copy) => toRank(copy.wasUpToDate),
];
/** Of one generation it says nothing in B and C: what the other went on with would be newer. */
const NOT_OUTDATED: Criterion = (copy) => toRank(!copy.outdated);
/** Whose clients are about to go on with it: unless both are, then it is as if none were. */
const RESUMING: Criterion = (copy) => toRank(copy.resuming === true && !copy.outdated);
const CRASHED_PRIMARY: Criterion = (copy) => toRank(copy.crashedPrimary);
/** A killed process has lost nothing that was acknowledged in C: the kernel had it. */
const KEPT: Criterion = (copy) => toRank(!mayLack(copy, 'C'));
const STAYED_UP: Criterion = (copy) => toRank(!copy.crashed);
const SEQUENCE: Criterion = (copy) => copy.writeSequence;
const LOWER_SLOT: Criterion = (copy) => -BigInt(copy.rank);

const CRITERIA: Readonly<Record<Protocol, readonly Criterion[]>> = {
  A: [...FIRST, RESUMING, NOT_OUTDATED, CRASHED_PRIMARY, SEQUENCE, STAYED_UP, LOWER_SLOT],
  B: [...FIRST, RESUMING, STAYED_UP, NOT_OUTDATED, CRASHED_PRIMARY, SEQUENCE, LOWER_SLOT],
  C: [...FIRST, RESUMING, KEPT, STAYED_UP, NOT_OUTDATED, CRASHED_PRIMARY, SEQUENCE, LOWER_SLOT],
};

/** undefined: neither copy may be handed on. */
export function chooseSource(own: Identity, peer: Identity, protocol: Protocol): Side | undefined {
  const ownMay = canBeSource(own);
  const peerMay = canBeSource(peer);
  if (!ownMay && !peerMay) return undefined;
  if (ownMay !== peerMay) return ownMay ? 'own' : 'peer';
  for (const criterion of CRITERIA[protocol].filter((one) => bothTell(one, own, peer))) {
    const difference = criterion(own) - criterion(peer);
    if (difference !== 0n) return difference > 0n ? 'own' : 'peer';
  }
  return undefined;
}

/** A node that does not tell does not ask for it either. */
function bothTell(criterion: Criterion, own: Identity, peer: Identity): boolean {
  if (criterion === KEPT) {
    return own.crashedMachine !== undefined && peer.crashedMachine !== undefined;
  }
  if (criterion !== RESUMING) return true;
  return own.resuming !== undefined && peer.resuming !== undefined;
}

function toRank(holds: boolean): bigint {
  return holds ? 1n : 0n;
}
