/**
 * One resource that is up: puts its parts together and runs its commands one at a time.
 * (reactions.ts answers what its data plane and its peers tell.)
 *
 * Created by the service with open(); incoming connections come through accept(). State
 * changes only in stateGate.ts; events are queued and handled outside of the callback.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import { CLAIM_TIMEOUT_MS, SUPPLIED_UUIDS } from '../model/limits';
import { present } from '../model/assert';
import type { DiskState, NodeName, OwnDiskState, ResourceName } from '../model/states';
import type { DeviceStatus, SplitBrainStatus } from '../model/status';
import type { ResourceConfig } from '../config/types';
import type { DeviceEvent, DeviceOptions, IncomingConnection, Metadata } from '../plane/plane';
import { diskStateOf } from '../rules/diskState';
import { withoutPeers } from '../rules/fencing';
import type { Yields } from '../rules/splitBrain';
import type { Environment } from './core';
import { Core } from './core';
import { CommandQueue } from './commandQueue';
import type {
  ConnectOptions,
  DeviceChange,
  Ending,
  MirrorDevice,
  ResyncRequest,
  ResyncRun,
} from './device';
import { DataWait } from './dataWait';
import { DiskCommands } from './diskCommands';
import { Farewell } from './farewell';
import { Fencing } from './fencing';
import { refuseGivingUp } from './givingUp';
import type { Hello } from './hello';
import { formatRefusal } from './hello';
import { PeerConnection } from './peerConnection';
import { PeerReview } from './peerReview';
import { ProgressBoard } from './progress';
import { Reactions } from './reactions';
import { judgeReconfiguration } from './reconfiguration';
import { Resumption } from './resumption';
import { ResyncCommands } from './resyncCommands';
import { RoleCommands } from './roleCommands';
import { splitBrainStatus } from './splitBrainView';
import { StateGate } from './stateGate';
import { Surrender } from './surrender';
import { deviceStatus } from './statusView';

/** What of a configuration the data plane may change while attached. */
function deviceOptions(config: ResourceConfig): DeviceOptions {
  const { alExtents, timeoutMs, diskTimeoutMs, cMaxKibPerSecond, cMinKibPerSecond } = config;
  const onIoError = config.onIoError === 'pass_on' ? 'pass_on' : 'detach';
  const rates = { cMaxKibPerSecond, cMinKibPerSecond };
  return { alExtents, timeoutMs, onIoError, diskTimeoutMs, ...rates };
}

export interface ResourceOptions {
  readonly config: ResourceConfig;
  readonly node: NodeName;
  readonly environment: Environment;
  readonly onChange: (change: DeviceChange) => void;
}

export class Resource implements MirrorDevice {
  private readonly connections = new Map<NodeName, PeerConnection>();
  private readonly progress: ProgressBoard;
  private readonly commands = new CommandQueue();
  private readonly review: PeerReview;
  private readonly fencing: Fencing;
  private readonly farewell: Farewell;
  private readonly dataWait: DataWait;
  private readonly reactions: Reactions;
  private readonly roles: RoleCommands;
  private readonly resyncs: ResyncCommands;
  private readonly surrender: Surrender;
  private readonly disks: DiskCommands;
  private closed: Promise<void> | undefined;
  private resumption: Promise<void> = Promise.resolve();
  /** Nobody uses the kernel device, so it ends with this process. */
  private endsKernel = false;

  /** Attaches the copy and begins to connect; needs no peer. @throws what attach() throws */
  static async open(options: ResourceOptions): Promise<Resource> {
    const { config, node, environment, onChange } = options;
    const own = present(
      config.nodes.find((candidate) => candidate.name === node),
      `${node} is a node of ${config.name}`,
    );
    const peers = config.nodes.filter((other) => other.name !== node).map((other) => other.name);
    const early: DeviceEvent[] = [];
    const sink: { deliver: (event: DeviceEvent) => void } = { deliver: (e) => early.push(e) };
    const { name, protocol } = config;
    const { disk, metaDisk } = own;
    const claimTimeoutMs = CLAIM_TIMEOUT_MS;
    const { locations } = environment;
    const last = metaDisk === 'internal' ? locations.tryGet(name, disk) : undefined;
    const spec = {
      resource: name,
      node,
      disk,
      metaDisk,
      peers,
      protocol,
      ...deviceOptions(config),
      claimTimeoutMs,
      bootId: environment.bootId,
      ...(last === undefined ? {} : { lastSuperblockOffset: last }),
    };
    const device = await environment.plane.attach(spec, (event) => sink.deliver(event));
    locations.put(name, disk, device.metadata().superblockOffset);
    const gate = new StateGate(initialDiskState(device.metadata(), config), peers);
    const resource = new Resource(new Core(environment, node, config, device, gate, onChange));
    sink.deliver = (event) => resource.reactions.onEvent(event);
    early.forEach((event) => resource.reactions.onEvent(event));
    await resource.start();
    return resource;
  }

  private constructor(private readonly core: Core) {
    const { connections } = this;
    this.progress = new ProgressBoard(core);
    this.review = new PeerReview(core, connections);
    this.fencing = new Fencing(core, connections);
    this.farewell = new Farewell(core, connections);
    this.dataWait = new DataWait(core);
    const order = (run: () => void | Promise<void>): void => void this.order(run);
    const orders = {
      surrender: (peer: NodeName, how: Yields) => order(() => this.surrender.run(peer, how)),
      reviewCopy: () => order(() => this.reviewCopy()),
    };
    const { fencing, progress, review } = this;
    this.reactions = new Reactions(core, connections, review, progress, fencing, orders);
    this.roles = new RoleCommands(core, connections, this.reactions.desk, fencing);
    this.surrender = new Surrender(core, connections, this.roles);
    this.disks = new DiskCommands(core, connections, this.farewell);
    this.resyncs = new ResyncCommands(core, connections, (peer) => this.progress.of(peer));
    for (const peer of core.gate.snapshot().peers.keys()) {
      connections.set(peer, new PeerConnection(core, peer, this.reactions.hooks()));
    }
  }

  get name(): ResourceName {
    return this.core.name;
  }

  status(): DeviceStatus {
    const mayPromote = this.roles.judge(false).kind !== 'refused';
    const rateOf = (peer: NodeName): number => this.progress.of(peer).bytesPerSecond();
    const reasons = [this.fencing.reason, this.dataWait.reason].filter((text) => text !== '');
    const splitBrainOf = (peer: NodeName): SplitBrainStatus | null => {
      const copies = this.connections.get(peer)?.standsAloneFor?.copies;
      return copies === undefined ? null : splitBrainStatus(this.core, peer, copies);
    };
    const why = reasons.join('; ');
    const fencedCopyOf = (peer: NodeName): DiskState | undefined => this.fencing.copyOf(peer);
    return deviceStatus(this.core, mayPromote, why, rateOf, splitBrainOf, fencedCopyOf);
  }

  heartbeat(): bigint {
    return this.core.device.statistics().heartbeat;
  }

  /** A connection whose hello names this resource. */
  accept(incoming: IncomingConnection, hello: Hello): void {
    const peer = [...this.connections.values()].find((one) => one.peer === hello.node);
    if (peer !== undefined) {
      peer.accept(incoming, hello);
      return;
    }
    const names = [...this.connections.keys()].join(', ');
    const message = `${hello.node} is no peer of ${this.name} here: its peers are ${names}`;
    this.core.environment.plane.refuse(incoming.socket, formatRefusal('InvalidArgs', message));
  }

  promote(options: { readonly force: boolean }): Promise<void> {
    return this.command(() => this.roles.promote(options.force));
  }

  demote(): Promise<void> {
    return this.command(() => this.roles.demote());
  }

  resync(request: ResyncRequest): Promise<ResyncRun> {
    return this.command(() => this.resyncs.resync(request));
  }

  invalidate(): Promise<void> {
    return this.command(() => this.resyncs.invalidate());
  }

  invalidateRemote(peer: NodeName): Promise<void> {
    return this.command(() => this.resyncs.invalidateRemote(peer));
  }

  outdate(): Promise<void> {
    return this.command(() => this.roles.outdate());
  }

  attach(): Promise<void> {
    return this.command(() => this.disks.attach());
  }

  detach(options: { readonly force: boolean }): Promise<void> {
    return this.command(() => this.disks.detach(options.force));
  }

  connect({ peer, discardMyData, dryRun = false }: ConnectOptions): Promise<void> {
    return this.command(() => {
      const apart = this.named(peer).filter((one) => !one.isConnected);
      if (discardMyData) refuseGivingUp(this.core, ...apart.map((one) => one.peer));
      if (dryRun) return;
      for (const one of apart) one.connect(discardMyData ? { discardMyData } : {});
    });
  }

  disconnect({ peer }: { readonly peer?: NodeName }): Promise<void> {
    return this.command(async () => {
      for (const one of this.named(peer)) this.refuseCut(one.peer);
      await this.farewell.bid(this.named(peer));
      for (const one of this.named(peer)) one.disconnect('disconnected by the administrator');
    });
  }

  reconfigure(config: ResourceConfig): Promise<void> {
    return this.command(() => {
      const before = this.core.config;
      const removed = judgeReconfiguration(before, config, this.core.node);
      this.core.device.setOptions(deviceOptions(config));
      for (const peer of removed) this.removePeer(peer);
      this.core.config = config;
      this.fencing.follows();
      this.followAddresses(before);
      this.core.report({ type: 'changed' });
    });
  }

  /** I/O that waits for the fencing of a lost peer goes on. */
  resumeIo(): Promise<void> {
    return this.command(() => this.fencing.resume());
  }

  get resumed(): Promise<void> {
    return this.resumption;
  }

  get isOver(): boolean {
    return this.closed !== undefined;
  }

  down(): Promise<void> {
    if (this.closed !== undefined) return this.closed;
    return this.commands.run(async () => {
      if (this.closed === undefined) await this.roles.leave();
      await this.finish();
    });
  }

  close(ending: Ending = 'stop'): Promise<void> {
    return this.finish(ending);
  }

  /** The role is Secondary from here on, whatever it was at a crash. */
  private async start(): Promise<void> {
    const { core } = this;
    await this.clearIndicator();
    core.gate.subscribe(() => {
      this.review.queue();
      this.progress.keepTicking();
      core.report({ type: 'changed' });
    });
    core.device.supplyUuids(
      Array.from({ length: SUPPLIED_UUIDS }, () => core.environment.random.uuid()),
    );
    core.resuming = await core.kernel.find();
    const resumption = new Resumption(core, this.connections, this.roles);
    for (const connection of this.connections.values()) connection.connect();
    if (core.resuming) this.resumption = this.order(() => resumption.run());
  }

  /** A command of its own; resolves also when it fails, which is reported. */
  private order(run: () => void | Promise<void>): Promise<void> {
    return this.command(run).catch((error: unknown) => {
      this.core.report({ type: 'failed', error: toMirrorError(error) });
    });
  }

  /** A resync whose end was written when its connection was lost already. */
  private reviewCopy(): void {
    const { core } = this;
    const { diskState, role } = core.gate.snapshot();
    const metadata = core.device.metadata();
    if (diskState !== 'Inconsistent' || !metadata.consistent) return;
    const known =
      role === 'Primary' ? diskStateOf(metadata) : initialDiskState(metadata, core.config);
    core.gate.propose({ diskState: known });
  }

  private async clearIndicator(): Promise<void> {
    if (!this.core.device.metadata().primaryIndicator) return;
    try {
      await this.core.updateMetadata({ primaryIndicator: false });
    } catch (error) {
      await this.core.device.close();
      throw error;
    }
  }

  private command<T>(run: () => T | Promise<T>): Promise<T> {
    return this.commands.run(async () => {
      if (this.core.closing) {
        throw new MirrorError('NotFound', `${this.core.name} is going down: run up first`);
      }
      return run();
    });
  }

  private finish(ending: Ending = 'stop'): Promise<void> {
    this.closed ??= this.shutDown(ending);
    return this.closed;
  }

  private async shutDown(ending: Ending): Promise<void> {
    const { core } = this;
    core.closing = true;
    this.progress.close();
    try {
      await this.farewell.bid([...this.connections.values()]);
      if (core.gate.snapshot().role === 'Primary' && this.fencing.reason === '') {
        await this.leaveKernel(ending);
        await this.roles.withdraw(true);
        if (core.hasDisk) await core.updateMetadata({ primaryIndicator: false });
        core.gate.propose({ role: 'Secondary' });
        if (this.endsKernel) await core.kernel.detach();
      }
    } finally {
      this.fencing.close();
      for (const connection of this.connections.values()) connection.disconnect('shutting down');
      await core.device.close();
    }
  }

  /** A device that is in use stays, and waits for the next process. */
  private async leaveKernel(ending: Ending): Promise<void> {
    const { kernel, report, name } = this.core;
    if (!kernel.isThere) return;
    if (ending === 'restart') {
      await kernel.park();
      return;
    }
    try {
      await kernel.claim(false);
      this.endsKernel = true;
    } catch (error) {
      const why = toMirrorError(error).message;
      const message = `${kernel.name} of ${name} stays, and waits for the service: ${why}`;
      report({ type: 'failed', error: new MirrorError('DeviceInUse', message) });
    }
  }

  private refuseCut(peer: NodeName): void {
    const { role, diskState } = this.core.gate.snapshot();
    const needed = ['WFBitMapT', 'SyncTarget'].includes(this.core.gate.peer(peer).replicationState);
    if (role !== 'Primary' || diskState === 'UpToDate' || !needed) return;
    const message = `${this.name} reads from ${peer} until its resync has finished: wait for that`;
    throw new MirrorError('NotUpToDate', message);
  }

  private named(peer: NodeName | undefined): PeerConnection[] {
    if (peer === undefined) return [...this.connections.values()];
    const found = this.connections.get(peer);
    if (found !== undefined) return [found];
    const names = [...this.connections.keys()].join(', ');
    const message = `${peer} is no peer of ${this.name}: its peers here are ${names}`;
    throw new MirrorError('NotFound', message);
  }

  private removePeer(peer: NodeName): void {
    this.connections.get(peer)?.disconnect('no longer configured');
    this.connections.delete(peer);
    this.core.gate.propose({ removePeer: peer });
  }

  private followAddresses(before: ResourceConfig): void {
    for (const connection of this.connections.values()) {
      const old = before.nodes.find((node) => node.name === connection.peer)?.address;
      const now = this.core.peerConfig(connection.peer).address;
      if (old !== now) connection.renegotiate(`the address of ${connection.peer} changed`);
    }
  }
}

function initialDiskState(metadata: Metadata, config: ResourceConfig): OwnDiskState {
  const peers = metadata.peers.filter((peer) =>
    config.nodes.some((node) => node.name === peer.name),
  );
  const unfenced = peers.filter((peer) => !peer.outdated).length;
  return withoutPeers(diskStateOf(metadata), config.fencing, unfenced);
}
