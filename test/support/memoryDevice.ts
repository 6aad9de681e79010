// An attached copy of a memory plane. Writes reach established peers at once; whatever a real
// data plane guarantees by order and durability is here by being atomic. It checks what the
// control plane owes it, and reports what was wrong to the plane's `violations`.

import { MirrorError } from '../../src/model/errors';
import type { NodeName, Uuid } from '../../src/model/states';
import type {
  DeviceEvent,
  DevicePlane,
  DeviceStatistics,
  EstablishPlan,
  Metadata,
  MetadataPatch,
  ServeSpec,
  WireSocket,
} from '../../src/plane/plane';
import { BLOCK_BYTES } from './memoryDisk';
import type { MemoryDisk } from './memoryDisk';
import { MemoryLink } from './memoryLink';
import { FakeEnd } from './memoryNetwork';
import type { MemoryNetwork } from './memoryNetwork';

export class MemoryDevice implements DevicePlane {
  readonly links = new Map<number, MemoryLink>();
  readonly clients: number[] = [];
  serving: ServeSpec | undefined;
  dead = false;
  options: { alExtents?: number; timeoutMs?: number } = {};
  private uuids: Uuid[] = [];
  private heartbeats = 0n;

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
    return this.disk.metadata();
  }

  statistics(): DeviceStatistics {
    this.heartbeats += 1n;
    const zero = { readBytes: 0n, writtenBytes: 0n, writes: 0n, metadataWrites: 0n };
    return {
      ...zero,
      suspended: false,
      heartbeat: this.heartbeats,
      hotExtents: 0n,
      clientPids: [...this.clients],
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

  async withdraw(force: boolean): Promise<void> {
    await this.pause('withdraw');
    if (this.clients.length > 0 && !force) throw new MirrorError('DeviceInUse', 'clients');
    this.clients.length = 0;
    this.serving = undefined;
  }

  async updateMetadata(patch: MetadataPatch): Promise<Metadata> {
    await this.pause('updateMetadata');
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

  setOptions(options: { readonly alExtents?: number; readonly timeoutMs?: number }): void {
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

  /** A client writes; acknowledged when it returns. */
  write(block: number, value: string): void {
    if (this.serving === undefined || this.dead) throw new Error(`${this.node} does not serve`);
    const missing = this.disk.peers.filter((peer) => this.links.get(peer.slot)?.receiving !== true);
    if (missing.some((peer) => peer.bitmapUuid === 0n)) this.beginGeneration(missing);
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

  fail(detail: string): void {
    this.emit({ type: 'diskFailed', detail });
    for (const link of this.links.values()) link.end.close();
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
