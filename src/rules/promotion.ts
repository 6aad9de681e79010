/**
 * May this copy be promoted now (rule 8), and what does that do to its generation?
 *
 * Asked by `promote`, by the status (mayPromote), and again after the peers have consented.
 */
import type { ErrorCode } from '../model/errors';
import type { DiskState, ReplicationState, Role } from '../model/states';

export interface PromotionPeer {
  readonly name: string;
  readonly connected: boolean;
  readonly role: Role;
  readonly diskState: DiskState;
  readonly replicationState: ReplicationState;
}

export interface PromotionInput {
  readonly resource: string;
  readonly force: boolean;
  readonly role: Role;
  readonly diskState: DiskState;
  readonly peers: readonly PromotionPeer[];
}

export type PromotionAnswer =
  | { readonly kind: 'alreadyPrimary' }
  /** `newGeneration`: this copy is declared UpToDate under a new currentUuid. */
  | { readonly kind: 'allowed'; readonly newGeneration: boolean }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string };

export function judgePromotion(input: PromotionInput): PromotionAnswer {
  if (input.role === 'Primary') return refuseWaiting(input) ?? { kind: 'alreadyPrimary' };
  const primary = input.peers.find((peer) => peer.connected && peer.role === 'Primary');
  if (primary !== undefined) return refusePrimary(input.resource, primary.name);
  switch (input.diskState) {
    case 'UpToDate':
    case 'Consistent':
      return { kind: 'allowed', newGeneration: false };
    case 'Inconsistent':
    case 'Outdated':
      if (!input.force) return refuseCopy(input);
      return { kind: 'allowed', newGeneration: !hasLiveSource(input.peers) };
    default:
      return refuseDisk(input);
  }
}

/** Its clients must not be shown the disk of such a Primary. */
function refuseWaiting(input: PromotionInput): PromotionAnswer | undefined {
  if (!input.force || input.diskState !== 'Negotiating') return undefined;
  const message =
    `${input.resource} is Primary, and its disk waits for a peer that has what its clients have ` +
    'seen: connect that peer, or demote and promote --force to go on with what is on the disk';
  return { kind: 'refused', code: 'NotUpToDate', message };
}

/** A Primary that is SyncTarget reads from its source: nothing has to be given up. */
function hasLiveSource(peers: readonly PromotionPeer[]): boolean {
  return peers.some(
    (peer) =>
      peer.connected && ['WFBitMapT', 'SyncTarget', 'PausedSyncT'].includes(peer.replicationState),
  );
}

function refusePrimary(resource: string, name: string): PromotionAnswer {
  const message = `${name} is Primary for ${resource}: demote it there first`;
  return { kind: 'refused', code: 'PeerIsPrimary', message };
}

function refuseCopy(input: PromotionInput): PromotionAnswer {
  const newer = hasLiveSource(input.peers)
    ? 'wait until the resync has finished, or use --force'
    : 'connect an UpToDate peer, or use --force to take what is here as the newest data';
  const message = `the local copy of ${input.resource} is ${input.diskState}: ${newer}`;
  return { kind: 'refused', code: 'NotUpToDate', message };
}

function refuseDisk(input: PromotionInput): PromotionAnswer {
  const message =
    `the local copy of ${input.resource} is ${input.diskState}: ` +
    `repair the disk, then run attach ${input.resource}`;
  return { kind: 'refused', code: 'NotAttached', message };
}
