/**
 * What one node tells another about its copy, as far as the rules need it. Both nodes compute
 * the same answer from the same two identities, so nothing here may be known to one side only.
 */
import type { SplitBrainPolicies } from '../model/policies';
import type { DiskState, Protocol, Role, Uuid } from '../model/states';

export interface Identity {
  readonly currentUuid: Uuid;
  /** currentUuid when the bitmap towards the other began; 0n: in sync since. */
  readonly bitmapUuid: Uuid;
  /** Towards other peers, without zeroes. */
  readonly otherBitmapUuids: readonly Uuid[];
  /** Newest first, without zeroes. */
  readonly historyUuids: readonly Uuid[];

  /** Not in the middle of a resync. */
  readonly consistent: boolean;
  readonly wasUpToDate: boolean;
  /** Known to be older than another copy. */
  readonly outdated: boolean;
  /** Ended in a crash and has not been resynced since. */
  readonly crashed: boolean;
  readonly crashedPrimary: boolean;
  /**
   * It crashed with its machine, or its disk failed: what was not flushed may be gone.
   * undefined: its node does not tell.
   */
  readonly crashedMachine: boolean | undefined;
  readonly role: Role;
  readonly diskState: DiskState;
  /**
   * Of a Primary without a disk, or with a copy that is behind and has lost its source: the
   * generation whose data its clients have seen; else 0n.
   */
  readonly exposedUuid: Uuid;

  /** Raised by every attach. */
  readonly generation: bigint;
  /** Its generation when both last agreed, as this copy remembers that; 0n: never. */
  readonly metGeneration: bigint;
  /** The other's generation when last seen; 0n: never. */
  readonly rememberedGeneration: bigint;
  readonly writeSequence: bigint;
  readonly sizeBytes: bigint;
  readonly blockBytes: number;
  /** Towards the other. */
  readonly outOfSyncBytes: bigint;
  /** Every block is, or was when the resync now interrupted began, out of sync to the other. */
  readonly fullSync: boolean;

  /** Became Primary while the other missed that: it was not Primary when they parted. */
  readonly promotedApart: boolean;
  /** Times of day, milliseconds since 1970, 0: never or unknown. For people only. */
  readonly partedMs: number;
  readonly promotedMs: number;
  /** What the node does by itself in split brain with the other. */
  readonly policies: SplitBrainPolicies;

  /** Position in the sorted node names: the lower one decides ties. */
  readonly rank: number;
  /** The administrator gives up what this copy has and the other has not (split brain). */
  readonly discardMyData: boolean;
  /** The administrator asked for this copy to be overwritten in full. */
  readonly takeMeBack: boolean;
  /**
   * Its process ended as Primary, and its clients wait for it to go on so. undefined: its node does
   * not tell, and asks for no difference.
   */
  readonly resuming: boolean | undefined;
  /** A third node that is connected here is Primary. */
  readonly knowsPrimary: boolean;
  /** This copy is the target of a resync from a third node. */
  readonly resyncsFromOther: boolean;
}

export type Side = 'own' | 'peer';

export function otherSide(side: Side): Side {
  return side === 'own' ? 'peer' : 'own';
}

/** May its data be handed to another copy? */
export function canBeSource(copy: Identity): boolean {
  return copy.consistent && copy.diskState !== 'Inconsistent' && hasDisk(copy);
}

/**
 * A crash may have cost it what was acknowledged, and seen by clients. Of protocol C all that is
 * safe once the write has reached the peer's kernel; of A and B it may have been on its way there.
 */
export function mayLack(copy: Identity, protocol: Protocol): boolean {
  return copy.crashed && (protocol !== 'C' || copy.crashedMachine !== false);
}

export function hasDisk(copy: Identity): boolean {
  return !['Diskless', 'Attaching', 'Detaching', 'Failed', 'DUnknown'].includes(copy.diskState);
}
