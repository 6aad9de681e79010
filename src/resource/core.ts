/**
 * What the parts of one resource share: its configuration, its data plane, its state gate and
 * the world. Composes what this node tells a peer about its copy.
 */
import type { Clock, Random } from '../model/clock';
import { present } from '../model/assert';
import { policiesTowards } from '../model/policies';
import { toMirrorError } from '../model/errors';
import type { HandlerRunner } from '../model/handlers';
import { DEVICE_TIMEOUT_MS } from '../model/limits';
import type { NodeName, ResourceName } from '../model/states';
import type { DeviceChange } from './device';
import type { NodeConfig, ResourceConfig } from '../config/types';
import type {
  DevicePlane,
  Metadata,
  MetadataPatch,
  PeerMetadata,
  PeerStatistics,
  Plane,
  Slot,
} from '../plane/plane';
import type { Identity } from '../rules/identity';
import { isAttached, isTarget } from '../rules/transitions';
import { withDeadline } from './deadline';
import type { StateFacts } from './frames';
import { Handlers } from './handlers';
import { FEATURES, WIRE_VERSION } from './hello';
import type { Hello } from './hello';
import { KernelDevice } from './kernelDevice';
import type { KernelSide } from './kernelDevice';
import type { StateGate } from './stateGate';

/** Where each resource's superblock was last seen, kept over restarts in the state directory. */
export interface SuperblockLocations {
  tryGet(resource: ResourceName, disk: string): bigint | undefined;
  /** Best effort: it is needed only when the disk grows. */
  put(resource: ResourceName, disk: string, offset: bigint): void;
}

/** The world outside of the resources; one for each daemon. */
export interface Environment {
  readonly plane: Plane;
  readonly clock: Clock;
  readonly random: Random;
  /** 16 hex digits, new for each start of the daemon. */
  readonly bootNonce: string;
  /** The same until the machine starts anew; 0n: not known. */
  readonly bootId: bigint;
  readonly runDir: string;
  readonly locations: SuperblockLocations;
  readonly handlers: HandlerRunner;
  /** Absent: this machine has no kernel devices. */
  readonly kernel?: KernelSide;
  /** A numeric address. */
  resolveHost(host: string): Promise<string>;
  processName(pid: number): string | undefined;
}

/** What the administrator asked for, for one peer; kept until it is done or the copy changes. */
export interface Requests {
  readonly discardMyData: boolean;
  readonly takeMeBack: boolean;
}

export const NO_REQUESTS: Requests = { discardMyData: false, takeMeBack: false };

export class Core {
  /** A promotion is under way: no connection may become Connected. */
  promoting = false;
  closing = false;
  /** A former process was Primary here, and its kernel device waits for this one to go on. */
  resuming = false;
  private readonly updates = new Set<Promise<Metadata>>();
  /** The peer that this node let be promoted, until that is over. */
  promised: NodeName | undefined;
  /** Declared Inconsistent by this process, with nothing written into it since: untouched.ts. */
  untouched: 'no' | 'yes' | 'restoring' = 'no';
  readonly handlers = new Handlers(this);
  readonly kernel = new KernelDevice(this);

  constructor(
    readonly environment: Environment,
    readonly node: NodeName,
    public config: ResourceConfig,
    readonly device: DevicePlane,
    readonly gate: StateGate,
    readonly report: (change: DeviceChange) => void,
  ) {}

  get name(): ResourceName {
    return this.config.name;
  }

  get timeoutMs(): number {
    return this.config.timeoutMs;
  }

  peerConfig(peer: NodeName): NodeConfig {
    const found = this.config.nodes.find((node) => node.name === peer);
    return present(found, `${peer} is configured`);
  }

  peerMetadata(peer: NodeName): PeerMetadata {
    const found = this.device.metadata().peers.find((record) => record.name === peer);
    return present(found, `${peer} has a slot`);
  }

  /** The copy is there: its metadata can be changed. */
  get hasDisk(): boolean {
    return isAttached(this.gate.snapshot().diskState);
  }

  /** A Primary whose copy lacks what clients have seen, and that has no source now. */
  get waitsForData(): boolean {
    const behind = this.gate.snapshot().diskState === 'Inconsistent';
    // A resync that ended with its connection is known to the data plane first.
    return behind && this.device.statistics().exposedUuid !== 0n;
  }

  slotOf(peer: NodeName): Slot {
    return this.peerMetadata(peer).slot;
  }

  peerStatistics(peer: NodeName): PeerStatistics | undefined {
    const slot = this.device.metadata().peers.find((record) => record.name === peer)?.slot;
    return this.device.statistics().peers.find((statistics) => statistics.slot === slot);
  }

  /** Something is being written down of this copy, also by a connection that is gone. */
  get isUpdating(): boolean {
    return this.updates.size > 0;
  }

  updateMetadata(patch: MetadataPatch): Promise<Metadata> {
    const { clock } = this.environment;
    if (patch.consistent === false && this.device.metadata().consistent) this.untouched = 'yes';
    const update = this.device.updateMetadata(patch);
    const ended = (): void => void this.updates.delete(update);
    this.updates.add(update);
    update.then(ended, ended);
    return withDeadline(clock, DEVICE_TIMEOUT_MS, 'the metadata update', update);
  }

  /** Durable when it returns. @throws InTransition */
  markOutdated(): Promise<void> {
    return this.declare('Outdated', { outdated: true });
  }

  /**
   * Says that the copy is worse than it was; durable when it returns. The state says so before
   * anything is written: where a connection has just made this copy a source that is refused,
   * and none can while it is being written. @throws InTransition
   */
  async declare(worse: 'Outdated' | 'Inconsistent', patch: MetadataPatch): Promise<void> {
    const { gate } = this;
    const { diskState } = gate.snapshot();
    gate.propose({ diskState: worse });
    try {
      await this.updateMetadata(patch);
    } catch (error) {
      // What is still under way may become durable.
      const over = toMirrorError(error).code !== 'TimedOut';
      if (over && gate.snapshot().diskState === worse) gate.propose({ diskState });
      throw error;
    }
  }

  /** Another connected peer is Primary. */
  knowsPrimary(except: NodeName): boolean {
    for (const [name, peer] of this.gate.snapshot().peers) {
      if (name === except || peer.connectionState !== 'Connected') continue;
      if (peer.role === 'Primary') return true;
    }
    return false;
  }

  resyncsFromOther(peer: NodeName): boolean {
    for (const [name, state] of this.gate.snapshot().peers) {
      if (name !== peer && isTarget(state.replicationState)) return true;
    }
    return false;
  }

  facts(peer: NodeName): StateFacts {
    const { role, diskState } = this.gate.snapshot();
    return {
      role,
      diskState,
      currentUuid: this.device.metadata().currentUuid,
      knowsPrimary: this.knowsPrimary(peer),
      resyncsFromOther: this.resyncsFromOther(peer),
    };
  }

  identity(peer: NodeName, requests: Requests): Identity {
    const metadata = this.device.metadata();
    const record = this.peerMetadata(peer);
    const others = metadata.peers.filter((other) => other.name !== peer);
    const { role, diskState } = this.gate.snapshot();
    // All members by name: what begins with a spread is many times slower, and this runs at
    // each step of a handshake.
    return {
      role,
      diskState,
      currentUuid: metadata.currentUuid,
      knowsPrimary: this.knowsPrimary(peer),
      resyncsFromOther: this.resyncsFromOther(peer),
      bitmapUuid: record.bitmapUuid,
      otherBitmapUuids: others.map((other) => other.bitmapUuid).filter((uuid) => uuid !== 0n),
      historyUuids: metadata.historyUuids,
      consistent: metadata.consistent,
      wasUpToDate: metadata.wasUpToDate,
      outdated: metadata.outdated,
      crashed: metadata.crashed,
      crashedPrimary: metadata.crashedPrimary,
      crashedMachine: metadata.crashedMachine,
      exposedUuid: this.device.statistics().exposedUuid,
      generation: metadata.generation,
      metGeneration: record.metGeneration,
      promotedApart: record.promotedApart,
      partedMs: record.partedMs,
      promotedMs: metadata.promotedMs,
      policies: policiesTowards(this.config.splitBrain, this.node, peer),
      rememberedGeneration: record.generation,
      writeSequence: metadata.writeSequence,
      sizeBytes: metadata.sizeBytes,
      blockBytes: metadata.blockBytes,
      outOfSyncBytes: this.peerStatistics(peer)?.outOfSyncBytes ?? 0n,
      fullSync: record.fullSync || isFilledByOther(metadata, record),
      rank: this.outranks(peer) ? 0 : 1,
      discardMyData: requests.discardMyData,
      resuming: this.resuming && this.gate.snapshot().role !== 'Primary',
      takeMeBack: requests.takeMeBack || isGivenUp(metadata, record, this.config.nodes.length),
    };
  }

  hello(peer: NodeName, requests: Requests, attempt: number): Hello {
    return {
      versionMin: WIRE_VERSION.min,
      versionMax: WIRE_VERSION.max,
      features: FEATURES,
      resource: this.name,
      node: this.node,
      peer,
      bootNonce: this.environment.bootNonce,
      attempt,
      protocol: this.config.protocol,
      nodes: this.config.nodes.length,
      identity: this.identity(peer, requests),
    };
  }

  /** Of two nodes the one whose name sorts first has the lower rank, and decides. */
  outranks(peer: NodeName): boolean {
    return this.node < peer;
  }
}

/**
 * Unfinished, with blocks of a third node in it: no bit towards this peer tells which. It is filled
 * in full from it, while who has begun goes on by the bits that are left.
 */
function isFilledByOther({ consistent, peers }: Metadata, record: PeerMetadata): boolean {
  return !consistent && peers.some(({ slot, fills }) => fills && slot !== record.slot);
}

/**
 * Ordered before this start, not merely an unfinished copy whose peer misses writes: such a copy
 * has begun a generation without that peer, which is remembered towards it (resyncCommands.ts).
 * With more nodes that one may have been begun elsewhere: nothing newer is given up for a guess.
 */
function isGivenUp(metadata: Metadata, record: PeerMetadata, nodes: number): boolean {
  return !metadata.consistent && record.fullSync && record.bitmapUuid === 0n && nodes <= 2;
}
