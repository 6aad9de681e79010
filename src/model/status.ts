/**
 * What a user can see of a resource, in one shape for D-Bus, `status --json` and `events`.
 */
import type {
  ConnectionState,
  DiskState,
  NodeName,
  Protocol,
  ReplicationState,
  ResourceName,
  Role,
} from './states';

/** One side of a split brain. */
export interface SplitBrainSide {
  readonly role: Role;
  /** `afterwards`: it became Primary without the other. */
  readonly wasPrimary: 'whenParted' | 'afterwards' | 'never';
  /** Written since the two parted, or possibly: what is lost when this side is given up. */
  readonly changedBytes: number;
  /** Times of day, milliseconds since 1970; null: unknown. */
  readonly partedMs: number | null;
  readonly promotedMs: number | null;
}

export interface SplitBrainStatus {
  /** When the first of the two went on without the other; null: unknown. */
  readonly partedMs: number | null;
  /** What has to be copied once one side is given up, at most. */
  readonly resyncBytes: number;
  readonly local: SplitBrainSide;
  readonly peer: SplitBrainSide;
}

export interface PeerStatus {
  readonly name: NodeName;
  /** As configured. */
  readonly address: string;
  readonly connectionState: ConnectionState;
  /** Why the connection is not there, in words a user understands; empty: nothing to say. */
  readonly reason: string;
  readonly replicationState: ReplicationState;
  readonly role: Role;
  readonly diskState: DiskState;
  /** null while the local metadata is not attached. */
  readonly outOfSyncBytes: number | null;
  /** 0 to 100 while a resync runs, 100 when nothing is out of sync, null when unknown. */
  readonly resyncDonePercent: number | null;
  /** Averaged over the last seconds; 0 when no resync runs. */
  readonly resyncBytesPerSecond: number;
  /** null: none is known. */
  readonly splitBrain: SplitBrainStatus | null;
}

export interface DeviceStatus {
  readonly name: ResourceName;
  readonly role: Role;
  readonly diskState: DiskState;
  /** `/dev/blkmirror/<resource>` while Primary with a kernel device, else null. */
  readonly device: string | null;
  /** Path of the NBD socket while Primary, else null. */
  readonly nbdSocket: string | null;
  readonly sizeBytes: number | null;
  readonly protocol: Protocol;
  /** I/O waits for a decision (a new generation that is not yet durable, a handler). */
  readonly suspended: boolean;
  /**
   * Which peers wait for their fencing, or whom a Primary waits for because its own copy lacks the
   * data, and what to do; empty: none of these.
   */
  readonly suspendedReason: string;
  /** 16 hex digits. */
  readonly currentUuid: string | null;
  /** Whether promote would be accepted now without force, as far as this node knows. */
  readonly mayPromote: boolean;
  readonly peers: readonly PeerStatus[];
}

export type JobState = 'running' | 'done' | 'failed' | 'cancelled';

export interface JobStatus {
  readonly id: number;
  /** `resync`. */
  readonly operation: string;
  readonly resource: ResourceName;
  readonly state: JobState;
  /** 0 to 1. */
  readonly progress: number;
  readonly bytesPerSecond: number;
  /** Milliseconds since the epoch; 0: unknown. */
  readonly expectedEndMs: number;
  /** Empty, or why it failed. */
  readonly message: string;
}
