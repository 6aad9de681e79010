// A disk of a memory plane: blocks, bits and metadata, which outlive the process that uses them.

import { JUST_CREATED_UUID } from '../../src/model/states';
import type { NodeName, ResourceName, Uuid } from '../../src/model/states';
import type { CreateMetadataSpec, Metadata, MetadataPatch } from '../../src/plane/plane';

export const BLOCK_BYTES = 4096n;
/** When every parting happens: a disk in memory has no clock. */
export const PARTED_MS = 1_000_000_000_000;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
export interface PeerRecord {
  slot: number;
  name: NodeName;
  bitmapUuid: Uuid;
  generation: bigint;
  metGeneration: bigint;
  partedMs: number;
  promotedApart: boolean;
  fills: boolean;
  outdated: boolean;
  fullSync: boolean;
  readonly bits: Set<number>;
}

export class MemoryDisk {
  readonly blocks = new Map<number, string>();
  /** Written since the last clean end. */
  readonly hot = new Set<number>();
  inUse = false;
  attached = false;
  readonly peers: PeerRecord[] = [];
  header: Mutable<Omit<Metadata, 'peers'>> | undefined;

  constructor(readonly blockCount: number) {}

  format(spec: CreateMetadataSpec): void {
    this.inUse = false;
    this.hot.clear();
    this.peers.length = 0;
    this.header = {
      resource: spec.resource,
      node: spec.node,
      generation: 0n,
      superblockOffset: 0n,
      sizeBytes: BigInt(this.blockCount) * BLOCK_BYTES,
      blockBytes: 512,
      currentUuid: JUST_CREATED_UUID,
      historyUuids: [],
      consistent: false,
      wasUpToDate: false,
      primaryIndicator: false,
      outdated: false,
      crashed: false,
      crashedPrimary: false,
      crashedMachine: false,
      writeSequence: 0n,
      promotedMs: 0,
    };
  }

  get meta(): Mutable<Omit<Metadata, 'peers'>> {
    if (this.header === undefined) throw new Error('no metadata');
    return this.header;
  }

  metadata(): Metadata {
    const peers = this.peers.map((record) => ({ ...record, partedMs: stamp(record) }));
    return { ...this.meta, historyUuids: [...this.meta.historyUuids], peers };
  }

  /** As attach does: a crash marks what was hot; unknown peers get a slot. */
  attach(peers: readonly NodeName[]): void {
    this.attached = true;
    this.meta.generation += 1n;
    if (this.inUse) this.recover();
    this.inUse = true;
    for (const name of peers) if (this.tryRecord(name) === undefined) this.addPeer(name);
  }

  detach(): void {
    this.attached = false;
    this.inUse = false;
    this.hot.clear();
  }

  private recover(): void {
    this.meta.crashed = true;
    if (this.meta.primaryIndicator) this.meta.crashedPrimary = true;
    for (const peer of this.peers) for (const block of this.hot) peer.bits.add(block);
    this.hot.clear();
  }

  private addPeer(name: NodeName): void {
    const bits = new Set(Array.from({ length: this.blockCount }, (_, index) => index));
    const slot = this.peers.length;
    const met = { generation: 0n, metGeneration: 0n, partedMs: 0, promotedApart: false };
    const fresh = { ...met, bitmapUuid: 0n, fills: false, outdated: false, fullSync: false };
    this.peers.push({ slot, name, ...fresh, bits });
  }

  tryRecord(name: string): PeerRecord | undefined {
    return this.peers.find((peer) => peer.name === name);
  }

  record(slot: number): PeerRecord {
    const found = this.peers.find((peer) => peer.slot === slot);
    if (found === undefined) throw new Error(`no slot ${slot}`);
    return found;
  }

  setUuid(uuid: Uuid): void {
    this.pushHistory(this.meta.currentUuid);
    this.meta.currentUuid = uuid;
  }

  pushHistory(uuid: Uuid): void {
    if (uuid === 0n || uuid === JUST_CREATED_UUID || this.meta.historyUuids.includes(uuid)) return;
    this.meta.historyUuids = [uuid, ...this.meta.historyUuids].slice(0, 32);
  }

  patch(patch: MetadataPatch): void {
    const { addHistory = [], peers = [], crashed } = patch;
    Object.assign(this.meta, plainFields(patch));
    if (patch.primaryIndicator === true) this.meta.promotedMs = PARTED_MS;
    for (const uuid of [...addHistory].reverse()) this.pushHistory(uuid);
    if (crashed === false)
      Object.assign(this.meta, { crashed: false, crashedPrimary: false, crashedMachine: false });
    for (const { slot, ...change } of peers) {
      const record = this.record(slot);
      Object.assign(record, change);
      if (change.fullSync === true) this.markAll(record);
    }
  }

  private markAll(record: PeerRecord): void {
    for (let block = 0; block < this.blockCount; block += 1) record.bits.add(block);
  }

  /** As after a restored snapshot. */
  copy(): MemoryDisk {
    const copy = new MemoryDisk(this.blockCount);
    for (const [block, value] of this.blocks) copy.blocks.set(block, value);
    copy.header = { ...this.meta, historyUuids: [...this.meta.historyUuids] };
    for (const peer of this.peers) copy.peers.push({ ...peer, bits: new Set(peer.bits) });
    return copy;
  }
}

function stamp({ bitmapUuid }: PeerRecord): number {
  return bitmapUuid === 0n ? 0 : PARTED_MS;
}

/** What a patch sets in the header itself. */
function plainFields(patch: MetadataPatch): Partial<Metadata> {
  const special = ['addHistory', 'peers', 'crashed', 'ifCurrentUuid'];
  return Object.fromEntries(Object.entries(patch).filter(([name]) => !special.includes(name)));
}

export function nameSpec(resource: string, node: string, disk: string): CreateMetadataSpec {
  return {
    resource: resource as ResourceName,
    node: node as NodeName,
    disk,
    metaDisk: 'internal',
    maxPeers: 7,
    force: true,
  };
}
