/**
 * Verdicts of the handshake in words: what happened, why, and what to do. Shown in the status
 * on both nodes; the codes are those of model/errors.
 */
import type { ErrorCode } from '../model/errors';
import type { Verdict, WaitReason } from '../rules/handshake';

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
}

interface Names {
  readonly resource: string;
  readonly own: string;
  readonly peer: string;
}

/** Of a verdict that ends StandAlone; undefined for the others. */
export function refusalOf(verdict: Verdict, names: Names): Refusal | undefined {
  switch (verdict.kind) {
    case 'splitBrain':
      return { code: 'SplitBrain', message: describeSplitBrain(names) };
    case 'unrelated':
      return { code: 'Unrelated', message: describeUnrelated(names) };
    case 'reverted':
      return { code: 'Reverted', message: describeReverted(verdict.who, names) };
    case 'refused':
      return { code: 'InvalidArgs', message: describeSizes(verdict.why, names) };
    default:
      return undefined;
  }
}

function describeSplitBrain({ resource, own, peer }: Names): string {
  return (
    `split brain: ${own} and ${peer} both changed ${resource} without each other; ` +
    `on the node whose changes may go, run connect ${resource} --discard-my-data`
  );
}

function describeUnrelated({ resource, own, peer }: Names): string {
  return (
    `unrelated data: the copies of ${resource} on ${own} and ${peer} never had data in common; ` +
    'on the node whose copy may go, run down, create-md --force and up'
  );
}

function describeReverted(who: 'own' | 'peer' | 'both', { resource, own, peer }: Names): string {
  const copies = { own, peer, both: `${own} and ${peer}` }[who];
  const next =
    who === 'both'
      ? 'recreate one with create-md --force'
      : `run resync ${resource} --full on ${copies} to take it back`;
  return `reverted: the copy of ${resource} on ${copies} went back to an older state; ${next}`;
}

function describeSizes(why: 'sizesDiffer' | 'blockSizesDiffer', names: Names): string {
  const what = why === 'sizesDiffer' ? 'sizes' : 'block sizes';
  return (
    `the ${what} of the copies of ${names.resource} on ${names.own} and ${names.peer} differ: ` +
    'make them equal and create the metadata anew'
  );
}

const WAITING: Record<WaitReason, string> = {
  noDisk: 'a backing disk is not there: repair it, then run attach there',
  noSource: 'neither copy is UpToDate: connect one that is, or promote one with --force',
  newerIsInconsistent:
    'the newer copy is Inconsistent: connect the node it was resynced from, ' +
    'or give it up with resync --full on it',
  waitsForPrimary: 'waits for the Primary',
  waitsForOtherResync: 'waits until the resync from another node has finished',
};

/** Why a connected peer does not replicate; empty when it does. */
export function waitingReason(verdict: Verdict): string {
  if (verdict.kind === 'waits') return WAITING[verdict.why];
  if (verdict.kind === 'bothJustCreated') {
    return 'both copies were just created: promote one with --force';
  }
  return '';
}
