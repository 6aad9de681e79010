/**
 * What the data plane can do with metadata that nothing has attached, beyond creating and reading
 * it: planning, dumping, restoring, repairing, growing. Used by the command line alone;
 * nativePlane.ts implements it. Everything rejects with MirrorError.
 */
import type { NodeName, ResourceName } from '../model/states';
import type { CreateMetadataSpec, Metadata } from './plane';

/** The superblock's numbers. The table in offline/dumpFields.ts says what each is. */
export interface SuperblockNumbers {
  readonly metadataId: bigint;
  readonly revision: bigint;
  readonly generation: bigint;
  readonly currentUuid: bigint;
  readonly writeSequence: bigint;
  /** Time of day of the last promotion; 0n: never. */
  readonly promotedMs: bigint;
  /** Of the machine's start at the last attach; 0n: not known. */
  readonly bootId: bigint;
  readonly flags: bigint;
  readonly blockBytes: bigint;
  readonly maxPeers: bigint;
  /** 1n or 0n. */
  readonly internal: bigint;
  readonly deviceBytes: bigint;
  readonly metadataDiskBytes: bigint;
  readonly superblocksOffset: bigint;
  readonly superblocksBytes: bigint;
  readonly activityLogOffset: bigint;
  readonly activityLogBytes: bigint;
  readonly bitmapStatesOffset: bigint;
  readonly bitmapStatesBytes: bigint;
  readonly bitmapOffset: bigint;
  readonly bitmapBytes: bigint;
}

export interface PeerImage {
  readonly slot: number;
  readonly name: string;
  readonly bitmapUuid: bigint;
  readonly generation: bigint;
  /** This copy's own generation when both last met. */
  readonly metGeneration: bigint;
  /** Time of day when bitmapUuid began; 0n: it is 0n. */
  readonly partedMs: bigint;
  readonly flags: bigint;
}

export interface SuperblockImage extends SuperblockNumbers {
  readonly resource: string;
  readonly node: string;
  readonly historyUuids: readonly bigint[];
  readonly peers: readonly PeerImage[];
}

/** Of one peer slot. */
export interface SlotImage {
  /** A byte for each bitmap page: 0 nothing, 1 some, 2 all of it is out of sync. */
  readonly states: Buffer;
  /** For each page with state 1, in order: one bit for each of its blocks. */
  readonly bits: Buffer;
}

/** Bit n of a buffer is in byte n / 8, value 1 << n % 8. */
export interface MetadataImage {
  readonly superblock: SuperblockImage;
  /** One bit for each extent. */
  readonly hot: Buffer;
  /** As many as maxPeers. */
  readonly slots: readonly SlotImage[];
}

export interface MetadataDump extends MetadataImage {
  /** Somebody had it attached: it may have changed while it was read. */
  readonly attached: boolean;
  /** Superblock slots included; they show as what attach takes them for. */
  readonly damagedPages: number;
}

export interface RestoreSpec {
  readonly resource: ResourceName;
  readonly disk: string;
  readonly metaDisk: string;
  /** Overwrites metadata that is there, when its revision is this; 0n: it cannot be read. */
  readonly force: boolean;
  readonly expectedRevision: bigint;
  readonly image: MetadataImage;
}

export interface RepairSpec {
  readonly resource: ResourceName;
  readonly node: NodeName;
  readonly disk: string;
  readonly metaDisk: string;
  /** Where the superblock was last seen; 0n: not known. */
  readonly lastSuperblockOffset: bigint;
  /** Looks everywhere on the disk, however long that takes. */
  readonly scan: boolean;
}

export interface RepairReport {
  /** Attach accepts the metadata now. */
  readonly repaired: boolean;
  /** What was wrong with each superblock; empty: nothing. */
  readonly slots: readonly string[];
  readonly logPages: number;
  readonly bitmapPages: number;
  /** The superblock was found at strays[0], and moved to where attach looks for it. */
  readonly moved: boolean;
  readonly strays: readonly { readonly offset: bigint; readonly superblock: SuperblockImage }[];
}

export interface GrowthSpec {
  readonly resource: ResourceName;
  readonly node: NodeName;
  readonly disk: string;
  readonly metaDisk: string;
  /** Where the superblock was last seen; 0n: not known. */
  readonly lastSuperblockOffset: bigint;
  /** What the mirror is to offer; 0n: all that there is room for. */
  readonly deviceBytes: bigint;
}

/** What the mirror offered, and offers now. */
export interface GrowthReport {
  readonly oldBytes: bigint;
  readonly newBytes: bigint;
}

export interface MetadataPlan {
  /** What the mirror would offer. */
  readonly deviceBytes: bigint;
  /** What the metadata takes of its disk. */
  readonly metadataBytes: bigint;
}

export interface MetadataTools {
  /** What createMetadata() would make of the disks. @throws NotAttached */
  planMetadata(spec: CreateMetadataSpec): Promise<MetadataPlan>;
  /** @throws DeviceInUse (attached, unless `unclaimed`), NotAttached (none, damaged) */
  dumpMetadata(
    resource: ResourceName,
    disk: string,
    metaDisk: string,
    unclaimed: boolean,
  ): Promise<MetadataDump>;
  /** @throws DeviceInUse (attached, metadata there and not `force`), NotAttached (no room) */
  restoreMetadata(spec: RestoreSpec): Promise<Metadata>;
  /** @throws DeviceInUse, NotAttached (of something else, of another version) */
  repairMetadata(spec: RepairSpec): Promise<RepairReport>;
  /**
   * A crash at any moment leaves the old size or the new.
   * @throws DeviceInUse (attached), NotAttached (no growth, no room, damaged, not ended cleanly)
   */
  growCopy(spec: GrowthSpec): Promise<GrowthReport>;
}
