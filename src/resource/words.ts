/**
 * Verdicts of the handshake in words: what happened, why, and what to do. Shown in the status
 * on both nodes; the codes are those of model/errors.
 */
import type { ErrorCode } from '../model/errors';
import type { Verdict, WaitReason } from '../rules/handshake';
import { canBeSource, hasDisk } from '../rules/identity';
import type { Identity } from '../rules/identity';
import type { Yields } from '../rules/splitBrain';

export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  /** In split brain: what both nodes said of their copies. */
  readonly copies?: Copies;
  /** This node is Primary, and a policy makes it give up. */
  readonly yields?: Yields;
  /** May `resync --full` here take over the peer's copy? absent: not known, or it never may. */
  readonly takesOver?: boolean;
}

export interface Copies {
  readonly own: Identity;
  readonly peer: Identity;
}

interface Names {
  readonly resource: string;
  readonly own: string;
  readonly peer: string;
}

/** Of a verdict that ends StandAlone; undefined for the others. */
export function refusalOf(verdict: Verdict, names: Names, copies: Copies): Refusal | undefined {
  switch (verdict.kind) {
    case 'splitBrain':
      return {
        code: 'SplitBrain',
        message: describeSplitBrain(names, copies),
        copies,
        takesOver: canBeSource(copies.peer),
      };
    case 'yields':
      return yieldRefusal(verdict, names, copies);
    case 'unrelated':
      return { code: 'Unrelated', message: describeUnrelated(names) };
    case 'reverted':
      return {
        code: 'Reverted',
        message: describeReverted(verdict.who, names, copies),
        takesOver: verdict.who === 'own' && canBeSource(copies.peer),
      };
    case 'refused':
      return { code: 'InvalidArgs', message: describeSizes(verdict.why, names, copies) };
    default:
      return undefined;
  }
}

function yieldRefusal(yields: Yields, names: Names, copies: Copies): Refusal {
  const { resource, own, peer } = names;
  const loser = yields.who === 'own' ? own : peer;
  const next = yields.force
    ? 'its clients are cut off and it becomes the target'
    : `if it is in use, end that, demote it and run connect ${resource} --discard-my-data there`;
  const message =
    `split brain: ${own} and ${peer} both changed ${resource} without each other; by policy ` +
    `${loser}, which is Primary, gives up what it wrote: ${next}`;
  const told = yields.who === 'own' ? { yields } : {};
  return { code: 'SplitBrain', message, copies, takesOver: canBeSource(copies.peer), ...told };
}

function describeSplitBrain({ resource, own, peer }: Names, copies: Copies): string {
  if (copies.own.discardMyData && copies.peer.discardMyData) {
    return (
      `split brain: both ${own} and ${peer} were told to discard their data of ${resource}; ` +
      `run connect ${resource} --discard-my-data on one of them, and connect on the other`
    );
  }
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

function describeReverted(who: 'own' | 'peer' | 'both', names: Names, copies: Copies): string {
  const { resource, own, peer } = names;
  const [reverted, other] = who === 'own' ? [own, peer] : [peer, own];
  if (who === 'both') {
    return (
      `reverted: the copies of ${resource} on ${own} and ${peer} went back to an older state; ` +
      'recreate one with create-md --force'
    );
  }
  const copy = `reverted: the copy of ${resource} on ${reverted} went back to an older state`;
  const kept = who === 'own' ? copies.peer : copies.own;
  if (canBeSource(kept)) {
    return `${copy}; run resync ${resource} --full on ${reverted} to take it back`;
  }
  return `${copy}, and ${describeUnusable(kept, resource, other, reverted)}`;
}

/** What can be done beside a copy that went back, on the node whose copy is no source. */
function describeUnusable(kept: Identity, resource: string, other: string, back: string): string {
  const anew = `run down, create-md --force and up on ${other}`;
  if (!hasDisk(kept)) {
    return (
      `${other} has no disk; run demote and attach on ${other}, then resync ${resource} --full ` +
      `on ${back}; to go on with the older one, ${anew}`
    );
  }
  const first = kept.role === 'Primary' ? `; run demote on ${other} first` : '';
  return (
    `the one on ${other} is Inconsistent, so it is no source${first}; to go on with the ` +
    `older one, ${anew}; to go on with the one on ` +
    `${other} as it is, run promote ${resource} --force there, then resync ${resource} --full on ` +
    back
  );
}

function describeSizes(
  why: 'sizesDiffer' | 'blockSizesDiffer',
  { resource, own, peer }: Names,
  copies: Copies,
): string {
  if (why === 'blockSizesDiffer') {
    return (
      `the block sizes of ${resource} differ: ${own} has ${copies.own.blockBytes} bytes, ${peer} ` +
      `${copies.peer.blockBytes} bytes; on the one with the smaller, use a disk with blocks as ` +
      'large, and run down, create-md --force and up'
    );
  }
  const smaller = copies.own.sizeBytes < copies.peer.sizeBytes ? own : peer;
  const larger = copies.own.sizeBytes < copies.peer.sizeBytes ? copies.peer : copies.own;
  return (
    `the sizes of ${resource} differ: ${own} has ${copies.own.sizeBytes} bytes, ${peer} ` +
    `${copies.peer.sizeBytes} bytes; if the disk of ${smaller} has grown, run down, ` +
    `resize --size ${larger.sizeBytes} and up there; else give ${smaller} a disk as large, ` +
    'and run down, create-md --force and up there'
  );
}

const WAITING: Record<WaitReason, string> = {
  noDisk: 'a backing disk is not there: repair it, then run attach there',
  lostWrites:
    'the only copy left may lack writes that clients of the Primary have seen: end its clients ' +
    'and demote the Primary, which has no data of its own, then attach its disk, or promote the ' +
    'node with the copy',
  noSource:
    'neither copy is UpToDate: connect one that is, or demote the Primary, if one of them is, ' +
    'and promote one with --force',
  newerIsInconsistent:
    'the newer copy is Inconsistent: connect the node it was resynced from, ' +
    'or give it up with resync --full on it',
  sourceOutdated:
    'the copy to resync from is Outdated: connect a newer one, or take it with promote --force ' +
    'there, when no node is Primary',
  waitsForPrimary: 'waits for the Primary',
  otherPrimary: 'another node is Primary, too: demote the one whose changes may go',
  waitsForOtherResync: 'waits until the resync from another node has finished',
  clientsSawOther:
    'clients of the Primary have seen data that the other copy may lack: ' +
    'demote the Primary, then it is resynced',
};

/** Why a connected peer does not replicate; empty when it does. */
export function waitingReason(verdict: Verdict): string {
  if (verdict.kind === 'waits') return WAITING[verdict.why];
  if (verdict.kind === 'bothJustCreated') {
    return 'both copies were just created: promote one with --force';
  }
  return '';
}
