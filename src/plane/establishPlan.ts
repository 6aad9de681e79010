// What the data plane is told when a connection becomes Established.

import type { Uuid } from '../model/states';

/**
 * How a connection becomes Established. Both ends get the same answer with source and target
 * swapped. `exchangeBitmaps`: the union of both bitmaps is resynced; false is allowed only
 * when both know that nothing is out of sync (`inSync`).
 */
export interface EstablishPlan {
  readonly resync: 'none' | 'source' | 'target';
  readonly exchangeBitmaps: boolean;
  /** As target: digests of what is out of sync are compared, and what differs is copied. */
  readonly compare: boolean;
  /** The peer is a Primary that lost its disk: this copy serves its reads and writes. */
  readonly peerDiskless: boolean;
  /** The peer's current generation, which a target takes over at the end of the resync. */
  readonly peerCurrentUuid: Uuid;
  /** Those its copy has left behind, newest first, which the target takes over as well. */
  readonly peerHistoryUuids: readonly Uuid[];
  /** Of the last write it knows of: this copy counts on from there, unless it is the source. */
  readonly peerWriteSequence: bigint;
  /** What its copy may lack since a crash, the target will lack as well. */
  readonly peerCrashed: boolean;
  readonly peerCrashedPrimary: boolean;
  readonly peerCrashedMachine: boolean;
}
