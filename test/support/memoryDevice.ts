// An attached copy of a memory plane. Writes reach established peers at once; whatever a real
// data plane guarantees by order and durability is here by being atomic. It checks what the
// control plane owes it, and reports what was wrong to the plane's `violations`.

import { MirrorError } from '../../src/model/errors';
import type { NodeName, Uuid } from '../../src/model/states';
import type { EstablishPlan } from '../../src/plane/establishPlan';
import type {
  DeviceEvent,
  DeviceOptions,
  DevicePlane,
  DeviceStatistics,
  Metadata,
  MetadataPatch,
  ServeSpec,
  WireSocket,
} from '../../src/plane/plane';
import type { StoredSocket } from '../../src/plane/socketStore';
import { BLOCK_BYTES } from './memoryDisk';
import type { MemoryDisk, PeerRecord } from './memoryDisk';
import { MemoryLink } from './memoryLink';
import { FakeEnd } from './memoryNetwork';
import type { MemoryNetwork } from './memoryNetwork';

export class MemoryDevice implements DevicePlane {
  readonly links = new Map<number, MemoryLink>();
  readonly clients: number[] = [];
  serving: ServeSpec | undefined;
  /** This end of the kernel's connection, while it is served. */
  kernelFd: number | undefined;
  dead = false;
  options: Partial<DeviceOptions> = {};
  suspendsOnLoss = false;
  /** Losses that suspend, by slot: the connection that was lost. */
  readonly undecided = new Map<number, number>();
  /** Slots of peers that were established, and may have taken over what is current here. */
  readonly mayShare = new Set<number>();
  private uuids: Uuid[] = [];
  private heartbeats = 0n;
  private lost: { currentUuid: Uuid; shared: boolean } | undefined;
  /** Of the source that a copy behind its clients has lost. */
  private seen: Uuid | undefined;

  constructor(
    readonly network: MemoryNetwork,
    readonly disk: MemoryDisk,
    readonly node: NodeName,
    readonly violations: string[],
    private readonly onEvent: (event: DeviceEvent) => void,
  ) {}

  emit(event: DeviceEvent): void {
    if (!this.dead) this.onEvent(event);
  }

  metadata(): Metadata {
    const known = this.disk.metadata();
    return this.lost === undefined ? known : { ...known, currentUuid: this.lost.currentUuid };
  }

  /** Served by its peers, without a disk of its own. */
  get isDiskless(): boolean {
    return this.lost !== undefined;
  }

  statistics(): DeviceStatistics {
    this.heartbeats += 1n;
    const zero = { readBytes: 0n, writtenBytes: 0n, writes: 0n, metadataWrites: 0n };
    return {
      ...zero,
      suspended: this.undecided.size > 0 || this.waits,
      exposedUuid: this.lost?.currentUuid ?? (this.waits ? this.seen : undefined) ?? 0n,
      heartbeat: this.heartbeats,
      hotExtents: 0n,
      clientPids: [...this.clients],
      kernelAttached: this.kernelFd !== undefined,
      peers: this.disk.peers.map((record) => ({
        slot: record.slot,
        receiving: this.links.get(record.slot)?.active === true,
        outOfSyncBytes: BigInt(record.bits.size) * BLOCK_BYTES,
        resyncTotalBytes: BigInt(this.links.get(record.slot)?.totalBlocks ?? 0) * BLOCK_BYTES,
        resyncedBytes: BigInt(this.links.get(record.slot)?.copiedBlocks ?? 0) * BLOCK_BYTES,
        sentBytes: 0n,
        receivedBytes: 0n,
      })),
    };
  }

  async connectLink(slot: number, socket: WireSocket, incarnation: number): Promise<void> {
    await this.pause('connectLink');
    const old = this.links.get(slot);
    if (old !== undefined && old.incarnation >= incarnation) this.blame('incarnation went back');
    old?.end.close();
    if (!(socket instanceof FakeEnd) || !socket.open) {
      throw new MirrorError('NotConnected', 'the connection is closed');
    }
    this.links.set(slot, new MemoryLink(this, slot, incarnation, socket));
  }

  closeLink(slot: number, incarnation: number): void {
    this.linkOf(slot, incarnation)?.end.close();
  }

  sendControl(slot: number, incarnation: number, text: string): void {
    this.linkOf(slot, incarnation)?.end.send((listener) => listener.control(text));
  }

  async establish(slot: number, incarnation: number, plan: EstablishPlan): Promise<void> {
    await this.pause('establish');
    const link = this.linkOf(slot, incarnation);
    if (link === undefined) throw new MirrorError('NotConnected', 'the link is gone');
    link.establish(plan);
  }

  pauseResync(): void {
    // Nothing here uses it.
  }

  async serve(spec: ServeSpec): Promise<void> {
    await this.pause('serve');
    if (!this.disk.meta.primaryIndicator) this.blame('served without the Primary indicator');
    this.serving = spec;
  }

  async serveKernel({ fd }: StoredSocket): Promise<void> {
    await this.pause('serveKernel');
    if (this.serving === undefined || this.kernelFd !== undefined) {
      throw new MirrorError('Failed', 'the kernel cannot be served now');
    }
    this.kernelFd = fd;
  }

  async parkKernel(): Promise<StoredSocket> {
    await this.pause('parkKernel');
    const fd = this.kernelFd;
    this.kernelFd = undefined;
    if (fd === undefined) throw new MirrorError('NotConnected', 'the kernel is not served');
    return { fd, unread: new Uint8Array([fd]) };
  }

  /** As when somebody disconnects the kernel device. */
  loseKernel(): void {
    this.kernelFd = undefined;
    this.emit({ type: 'clientsChanged', count: this.clients.length });
  }

  async withdraw(force: boolean): Promise<void> {
    await this.pause('withdraw');
    if (this.clients.length > 0 && !force) throw new MirrorError('DeviceInUse', 'clients');
    this.clients.length = 0;
    this.kernelFd = undefined;
    this.serving = undefined;
  }

  async updateMetadata(patch: MetadataPatch): Promise<Metadata> {
    await this.pause('updateMetadata');
    if (this.isDiskless) throw new MirrorError('NotAttached', 'the backing disk is gone');
    const { ifCurrentUuid } = patch;
    if (ifCurrentUuid !== undefined && ifCurrentUuid !== this.disk.meta.currentUuid) {
      throw new MirrorError('InTransition', 'the generation changed');
    }
    this.disk.patch(patch);
    return this.metadata();
  }

  supplyUuids(uuids: readonly Uuid[]): void {
    this.uuids = [...this.uuids, ...uuids].slice(0, 16);
  }

  suspendOnLoss(on: boolean): void {
    this.suspendsOnLoss = on;
    if (!on) this.undecided.clear();
  }

  resume(slot: number, incarnation: number): void {
    if (this.undecided.get(slot) === incarnation) this.undecided.delete(slot);
  }

  resumeAll(): void {
    this.undecided.clear();
  }

  setOptions(options: Partial<DeviceOptions>): void {
    this.options = { ...this.options, ...options };
  }

  async close(): Promise<void> {
    if (this.dead) return;
    for (const link of this.links.values()) link.end.close();
    this.dead = true;
    this.disk.detach();
  }

  /** The process is killed. */
  crash(): void {
    this.dead = true;
    this.disk.attached = false;
  }

  /** Primary, its copy is behind, and the source is gone. */
  private get waits(): boolean {
    const behind = this.serving !== undefined && !this.disk.meta.consistent;
    return behind && ![...this.links.values()].some((link) => link.active);
  }

  /** A link of a target has ended. */
  loseSource(sourceUuid: Uuid): void {
    if (this.waits) this.seen = sourceUuid;
  }

  /** A client writes; acknowledged when it returns. */
  write(block: number, value: string): void {
    if (this.serving === undefined || this.dead) throw new Error(`${this.node} does not serve`);
    if (this.lost !== undefined) {
      this.writeToPeers(this.lost, block, value);
      return;
    }
    if (this.waits) throw new Error('no copy has the data');
    const missing = this.disk.peers.filter((peer) => this.links.get(peer.slot)?.receiving !== true);
    const shares = ({ bitmapUuid, slot }: PeerRecord): boolean =>
      bitmapUuid === 0n || this.mayShare.has(slot);
    if (missing.some(shares)) this.beginGeneration(missing);
    for (const peer of missing) this.mayShare.delete(peer.slot);
    this.apply(block, value);
    for (const peer of missing) peer.bits.add(block);
    for (const link of this.links.values()) if (link.receiving) link.replicate(block, value);
  }

  apply(block: number, value: string): void {
    this.disk.blocks.set(block, value);
    this.disk.hot.add(block);
    this.disk.meta.writeSequence += 1n;
  }

  /** Marks what a lost peer has not got. */
  miss(slot: number, blocks: readonly number[]): void {
    const record = this.disk.record(slot);
    if (blocks.length > 0 && record.bitmapUuid === 0n) this.beginGeneration([record]);
    for (const block of blocks) record.bits.add(block);
  }

  takeGeneration(uuid: Uuid): void {
    this.disk.setUuid(uuid);
    this.emit({ type: 'generationChanged' });
  }

  /** The disk fails. While serving, peers in sync stay connected and serve. */
  fail(detail: string): void {
    this.loseDisk();
    this.emit({ type: 'diskFailed', detail });
  }

  private loseDisk(): void {
    const inSync = this.serving === undefined ? [] : this.servingPeers();
    this.lost = { currentUuid: this.current(), shared: true };
    for (const link of this.links.values()) if (!inSync.includes(link)) link.end.close();
  }

  async detachDisk(): Promise<void> {
    await this.pause('detachDisk');
    this.loseDisk();
  }

  async attachDisk(): Promise<Metadata> {
    await this.pause('attachDisk');
    if (this.lost === undefined) throw new MirrorError('DeviceInUse', 'there is a disk');
    this.lost = undefined;
    this.disk.attach([]);
    const serving = this.serving !== undefined;
    this.disk.patch({ primaryIndicator: serving, ...(serving ? { consistent: false } : {}) });
    for (const link of this.links.values()) link.end.close();
    return this.metadata();
  }

  private servingPeers(): MemoryLink[] {
    return [...this.links.values()].filter((link) => link.active && link.totalBlocks === 0);
  }

  private writeToPeers(lost: { currentUuid: Uuid; shared: boolean }, at: number, value: string) {
    const peers = this.servingPeers().flatMap((link) => link.partner() ?? []);
    if (peers.length === 0) throw new Error('no copy has the data');
    const uuid = lost.shared ? this.uuids.shift() : lost.currentUuid;
    if (uuid === undefined) throw new Error('no new generation was supplied');
    for (const peer of peers) peer.writeFor(this.node, at, value, uuid);
    if (lost.shared) this.emit({ type: 'generationChanged' });
    lost.currentUuid = uuid;
    lost.shared = false;
  }

  /** A write of a Primary without a disk. */
  private writeFor(primary: NodeName, block: number, value: string, uuid: Uuid): void {
    const record = this.disk.peers.find((peer) => peer.name === primary);
    if (record === undefined) throw new Error(`${primary} is no peer`);
    if (record.bitmapUuid === 0n) record.bitmapUuid = this.current();
    if (this.current() !== uuid) this.takeGeneration(uuid);
    record.bits.add(block);
    this.apply(block, value);
  }

  blame(what: string): void {
    this.violations.push(`${this.node}: ${what}`);
  }

  private beginGeneration(missing: readonly { bitmapUuid: Uuid }[]): void {
    const uuid = this.uuids.shift();
    if (uuid === undefined) throw new Error('no new generation was supplied');
    for (const peer of missing) if (peer.bitmapUuid === 0n) peer.bitmapUuid = this.current();
    this.takeGeneration(uuid);
    for (const link of this.links.values()) if (link.active) link.partner()?.takeGeneration(uuid);
  }

  private current(): Uuid {
    return this.disk.meta.currentUuid;
  }

  private linkOf(slot: number, incarnation: number): MemoryLink | undefined {
    const link = this.links.get(slot);
    return link?.incarnation === incarnation ? link : undefined;
  }

  /** Each call takes a moment, in which things may happen. */
  private pause(what: string): Promise<void> {
    this.network.count(what);
    return new Promise((resolve, reject) => {
      this.network.clock.after(0.5, () => {
        if (this.dead) reject(new MirrorError('Failed', 'the process is gone'));
        else resolve();
      });
    });
  }
}
