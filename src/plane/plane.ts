/**
 * The interface to the data plane: what moves bytes, seen from what decides.
 *
 * `nativePlane.ts` implements it over the C++ addon; tests may implement it in memory. Methods
 * reject with MirrorError. Event callbacks come on the main thread, in the order things
 * happened in the data plane, and must not act at once: queue it (STYLE rule 5).
 * The data plane goes on without this side: it acknowledges, marks bits, detects dead peers,
 * writes a new generation when a peer is lost and finishes a resync by itself.
 */
import type { ConnectionLoss, NodeName, Protocol, ResourceName, Uuid } from '../model/states';
import type { EstablishPlan } from './establishPlan';
import type { StoredSocket } from './socketStore';

/** Index of a peer in this copy's metadata (0 to 31): local to this node, stable for a name. */
export type Slot = number;

/** A TCP connection whose first frame is not sent yet or was just read; its holder owns it. */
export interface WireSocket {
  readonly id: number;
  /** `192.0.2.1:40000` or `[2001:db8::1]:40000`. */
  readonly remoteAddress: string;
  /** Closes it; nothing happens when it was handed to a link already, or twice. */
  close(): void;
}

/** A connection that was accepted, with the JSON text of its first control frame. */
export interface IncomingConnection {
  readonly socket: WireSocket;
  readonly hello: string;
}

export interface Listener {
  /** As bound: numeric address and port. */
  readonly address: string;
  close(): void;
}

export interface SocketOptions {
  /** 0: the kernel's own tuning. */
  readonly sndbufBytes: number;
  readonly rcvbufBytes: number;
}

export interface DialSpec extends SocketOptions {
  /** A numeric IPv4 or IPv6 address. */
  readonly host: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** JSON text sent as the first control frame. */
  readonly hello: string;
}

export interface CreateMetadataSpec {
  readonly resource: ResourceName;
  readonly node: NodeName;
  readonly disk: string;
  /** `internal` or a path. */
  readonly metaDisk: string;
  /** 1 to 31. */
  readonly maxPeers: number;
  /** Overwrites metadata that is there. (Foreign signatures are the caller's business.) */
  readonly force: boolean;
  /** Absent: just created. The other one is the first in the history. */
  readonly currentUuid?: Uuid;
  readonly ancestorUuid?: Uuid;
  /** Consistent and UpToDate from the first; absent: Inconsistent. */
  readonly upToDate?: boolean;
  /** Peers towards which nothing is out of sync; towards all others everything is. */
  readonly equals?: readonly NodeName[];
  /** Zeroes all that the mirror will offer. */
  readonly zero?: boolean;
  /** What the mirror must at least offer; NotAttached when it would be less. */
  readonly keepBytes?: bigint;
}

export interface DiskInfo {
  readonly kind: 'block' | 'file';
  readonly sizeBytes: bigint;
  /** 512 or 4096. */
  readonly logicalBlockBytes: number;
}

export interface AttachSpec {
  readonly resource: ResourceName;
  readonly node: NodeName;
  readonly disk: string;
  readonly metaDisk: string;
  /** Peers of the configuration; new names get a slot, everything out of sync. */
  readonly peers: readonly NodeName[];
  /** The same on every node; fixed while attached. */
  readonly protocol: Protocol;
  /** 0: no limit. */
  readonly alExtents: number;
  /** Deadline for acknowledgements and pings. */
  readonly timeoutMs: number;
  /** `pass_on`: an error of a read or write reaches the client; the disk stays. */
  readonly onIoError: 'detach' | 'pass_on';
  /** A disk operation that takes longer means a failed disk; 0: never. */
  readonly diskTimeoutMs: number;
  /** Ceiling of each resync that this copy is the target of; 0: none. */
  readonly cMaxKibPerSecond: number;
  /** What such a resync keeps while an application writes; 0: it leaves no room. */
  readonly cMinKibPerSecond: number;
  /** How long to wait for the claim on the disk when another process still holds it. */
  readonly claimTimeoutMs: number;
  /** Where the superblock was last seen, for a disk that grew and so hides internal metadata. */
  readonly lastSuperblockOffset?: bigint;
  /** Of this start of the machine; 0n: not known. */
  readonly bootId: bigint;
}

/** What may change while attached; as in {@link AttachSpec}. */
export type DeviceOptions = Pick<
  AttachSpec,
  | 'alExtents'
  | 'timeoutMs'
  | 'onIoError'
  | 'diskTimeoutMs'
  | 'cMaxKibPerSecond'
  | 'cMinKibPerSecond'
>;

export interface PeerMetadata {
  readonly slot: Slot;
  readonly name: NodeName;
  /** currentUuid when the bitmap towards this peer began; 0n: nothing since it was in sync. */
  readonly bitmapUuid: Uuid;
  /** The peer's attach generation when last seen; 0n: never. */
  readonly generation: bigint;
  /** This copy's attach generation when both last agreed; the peer remembers no later one. */
  readonly metGeneration: bigint;
  /** Time of day when bitmapUuid became durable, milliseconds since 1970; 0: it is 0n. */
  readonly partedMs: number;
  /** This copy became Primary while the peer missed that. */
  readonly promotedApart: boolean;
  /** It has begun to fill this copy. */
  readonly fills: boolean;
  readonly outdated: boolean;
  readonly fullSync: boolean;
}

export interface Metadata {
  readonly resource: ResourceName;
  readonly node: NodeName;
  /** Raised by every attach. */
  readonly generation: bigint;
  readonly sizeBytes: bigint;
  readonly blockBytes: number;
  /** On the metadata's disk. */
  readonly superblockOffset: bigint;
  readonly currentUuid: Uuid;
  /** Newest first, without zeroes. */
  readonly historyUuids: readonly Uuid[];
  readonly consistent: boolean;
  readonly wasUpToDate: boolean;
  readonly primaryIndicator: boolean;
  readonly outdated: boolean;
  /** This copy ended in a crash and has not been resynced since. */
  readonly crashed: boolean;
  readonly crashedPrimary: boolean;
  /** With its machine, or its disk failed: what was not flushed may be gone. */
  readonly crashedMachine: boolean;
  readonly writeSequence: bigint;
  /** Time of day of the last promotion, milliseconds since 1970; 0: never. */
  readonly promotedMs: number;
  readonly peers: readonly PeerMetadata[];
}

/** Absent members stay as they are. Durable when the promise resolves. */
export interface MetadataPatch {
  /** Refuses with InTransition unless currentUuid still is this. */
  readonly ifCurrentUuid?: Uuid;
  readonly consistent?: boolean;
  readonly wasUpToDate?: boolean;
  readonly primaryIndicator?: boolean;
  readonly outdated?: boolean;
  /** false clears crashed, crashedPrimary and crashedMachine. */
  readonly crashed?: false;
  readonly currentUuid?: Uuid;
  /** Pushed to the front of the history, in this order. */
  readonly addHistory?: readonly Uuid[];
  readonly peers?: readonly PeerPatch[];
}

export interface PeerPatch {
  readonly slot: Slot;
  readonly bitmapUuid?: Uuid;
  readonly generation?: bigint;
  readonly metGeneration?: bigint;
  readonly promotedApart?: boolean;
  readonly fills?: boolean;
  readonly outdated?: boolean;
  /**
   * true: every block becomes out of sync towards the peer, durably; false: none is (only on the
   * word of a Primary that has brought that peer up to date).
   */
  readonly fullSync?: boolean;
}

export interface PeerStatistics {
  readonly slot: Slot;
  /** Writes and flushes reach it. */
  readonly receiving: boolean;
  readonly outOfSyncBytes: bigint;
  /** Of the resync that runs: what it began with; 0n when none runs. */
  readonly resyncTotalBytes: bigint;
  /** Copied by resyncs since attach, in this node's role as source or target. */
  readonly resyncedBytes: bigint;
  readonly sentBytes: bigint;
  readonly receivedBytes: bigint;
}

export interface DeviceStatistics {
  /** Acknowledgements are held, or requests wait for a copy that has the data. */
  readonly suspended: boolean;
  /**
   * Of a Primary without a disk, or with a copy that is behind and has lost its source: the
   * generation whose data clients have seen; else 0n.
   */
  readonly exposedUuid: Uuid;
  /** Raised by the data-plane thread at least twice a second. */
  readonly heartbeat: bigint;
  readonly readBytes: bigint;
  readonly writtenBytes: bigint;
  readonly writes: bigint;
  readonly metadataWrites: bigint;
  readonly hotExtents: bigint;
  /** Of clients of the socket. */
  readonly clientPids: readonly number[];
  /** The connection of the kernel device is served. */
  readonly kernelAttached: boolean;
  readonly peers: readonly PeerStatistics[];
}

export type DeviceEvent =
  | {
      readonly type: 'control';
      readonly slot: Slot;
      readonly incarnation: number;
      readonly text: string;
    }
  | {
      readonly type: 'linkClosed';
      readonly slot: Slot;
      readonly incarnation: number;
      readonly loss: ConnectionLoss;
      /** In words. */
      readonly detail: string;
    }
  /** The merged bitmap is durable on both sides and copying begins. */
  | { readonly type: 'resyncStarted'; readonly slot: Slot; readonly incarnation: number }
  /**
   * Everything is copied and durable, superblocks included: this side's metadata is new. On the
   * target also after `linkClosed`, when the connection was lost while the end was being written.
   */
  | { readonly type: 'resyncFinished'; readonly slot: Slot; readonly incarnation: number }
  /** The data plane (or a Primary, over the wire) began a new generation; it is durable here. */
  | { readonly type: 'generationChanged' }
  /** Also when the kernel's connection began or ended. */
  | { readonly type: 'clientsChanged'; readonly count: number }
  /**
   * The backing disk or its metadata failed; the copy is detached. A Primary is served by the
   * peers that are in sync; other links are closed.
   */
  | { readonly type: 'diskFailed'; readonly detail: string }
  /** The disk reported an error and stays attached. */
  | { readonly type: 'ioError'; readonly detail: string };

export interface ServeSpec {
  /** Path of the unix socket; a stale one is replaced. */
  readonly socketPath: string;
  readonly exportName: string;
}

/** One attached copy with its data-plane thread. */
export interface DevicePlane {
  /** As of now: a snapshot. */
  metadata(): Metadata;
  statistics(): DeviceStatistics;

  /**
   * Without a backing disk from here on, as after `diskFailed`; resolves when it is closed, with
   * `force` at once. @throws DeviceInUse when a Primary would be without data, unless `force`
   */
  detachDisk(force: boolean): Promise<void>;
  /**
   * Claims and attaches the disk again. All links are closed; a Primary goes on by its peers
   * until a connection is established as the target of a resync.
   * @throws NotAttached, DeviceInUse (also: operations of the old disk are still in the kernel)
   */
  attachDisk(): Promise<Metadata>;

  /**
   * Gives a connection to the data plane as link `slot`, which may then carry control frames.
   * `incarnation` is larger than any before on that slot. An older link of the slot is closed
   * first; resolves when everything wholly received on it has been applied.
   */
  connectLink(slot: Slot, socket: WireSocket, incarnation: number): Promise<void>;
  /** Ignored when another incarnation is there. `linkClosed` follows. */
  closeLink(slot: Slot, incarnation: number): void;
  /** Ignored when another incarnation is there. At most 64 KiB. */
  sendControl(slot: Slot, incarnation: number, text: string): void;
  /** From here on the peer receives writes. Between two admissions. */
  establish(slot: Slot, incarnation: number, plan: EstablishPlan): Promise<void>;
  /** Stops or continues asking for blocks (target) of the resync that runs. */
  pauseResync(slot: Slot, paused: boolean): void;

  /** Serves NBD; waits for writes received from peers to be finished. Resolves when it accepts. */
  serve(spec: ServeSpec): Promise<void>;
  /**
   * Serves the kernel on this end of its connection, which is taken over, whatever happens.
   * @throws Failed: nothing is served, or the kernel already
   */
  serveKernel(socket: StoredSocket): Promise<void>;
  /**
   * Answers what the kernel has asked for and hands its connection back, the caller's.
   * @throws NotConnected: it ended by itself
   */
  parkKernel(): Promise<StoredSocket>;
  /**
   * Flushes every node and stops serving. Rejects with DeviceInUse while clients are attached,
   * unless `force`, which ends their connections.
   */
  withdraw(force: boolean): Promise<void>;

  updateMetadata(patch: MetadataPatch): Promise<Metadata>;
  /** New generations for the data plane to use when a peer is lost; at most 16 are kept. */
  supplyUuids(uuids: readonly Uuid[]): void;
  /**
   * Whether the loss of a peer that received writes suspends I/O from that moment until resume()
   * or the peer's return. Off: what is suspended goes on.
   */
  suspendOnLoss(on: boolean): void;
  /** The loss of that connection is decided; ignored when the peer came back meanwhile. */
  resume(slot: Slot, incarnation: number): void;
  resumeAll(): void;
  /** Changes what may change while attached. */
  setOptions(options: Partial<DeviceOptions>): void;

  /** Flushes, cools, writes bitmap and superblock (a clean end), closes the disk. Twice is fine. */
  close(): Promise<void>;
}

export interface Plane {
  /**
   * Size and logical block size of a device or file.
   * @throws NotFound, NotAttached
   */
  inspectDisk(path: string): Promise<DiskInfo>;
  /**
   * Writes fresh metadata: Inconsistent, just created, everything out of sync, unless the spec
   * says otherwise.
   * @throws DeviceInUse (attached, mounted, metadata there and not `force`), NotAttached (too
   * small, …)
   */
  createMetadata(spec: CreateMetadataSpec): Promise<Metadata>;
  /**
   * Reads metadata without attaching (works while attached elsewhere).
   * @throws NotAttached (none, damaged, unknown version)
   */
  readMetadata(disk: string, metaDisk: string): Promise<Metadata>;
  /**
   * Claims disk and metadata, checks them, starts the data-plane thread.
   * @throws NotAttached, DeviceInUse, Failed
   */
  attach(spec: AttachSpec, onEvent: (event: DeviceEvent) => void): Promise<DevicePlane>;
  /** @throws DeviceInUse (the address is taken), Failed */
  listen(
    host: string,
    port: number,
    onConnection: (connection: IncomingConnection) => void,
  ): Promise<Listener>;
  /** Connects, sends the first frame. @throws NotConnected, TimedOut */
  dial(spec: DialSpec): Promise<WireSocket>;
  /** Sets buffer sizes of a connection that was accepted. */
  setSocketOptions(socket: WireSocket, options: SocketOptions): void;
  /** Sends one control frame on a connection that was accepted and closes it (a refusal). */
  refuse(socket: WireSocket, text: string): void;
  /** Ends lobby threads. */
  close(): void;
}
