// A connection as two memory devices use it: established on both sides it carries writes, and a
// resync that copies one block each millisecond.

import type { EstablishPlan } from '../../src/plane/establishPlan';
import type { MemoryDevice } from './memoryDevice';
import type { PeerRecord } from './memoryDisk';
import type { FakeEnd } from './memoryNetwork';

export class MemoryLink {
  /** This side is established: writes go to it, or wait for the other side. */
  receiving = false;
  /** Both sides are. */
  active = false;
  totalBlocks = 0;
  copiedBlocks = 0;
  private plan: EstablishPlan | undefined;
  private readonly waiting = new Map<number, string>();

  constructor(
    readonly device: MemoryDevice,
    readonly slot: number,
    readonly incarnation: number,
    readonly end: FakeEnd,
  ) {
    end.owner = this;
    end.listen({
      control: (text) => device.emit({ type: 'control', slot, incarnation, text }),
      closed: (detail) => this.onClosed(detail),
      established: () => this.activate(),
    });
  }

  establish(plan: EstablishPlan): void {
    this.plan = plan;
    this.receiving = true;
    this.device.undecided.delete(this.slot);
    this.device.mayShare.add(this.slot);
    this.end.send((listener) => listener.established());
    this.activate();
  }

  replicate(block: number, value: string): void {
    const open = this.active && this.end.other?.open === true;
    const partner = open ? this.partner() : undefined;
    if (partner === undefined) this.waiting.set(block, value);
    else partner.apply(block, value);
  }

  partner(): MemoryDevice | undefined {
    return this.partnerLink()?.device;
  }

  private partnerLink(): MemoryLink | undefined {
    const owner = this.end.other?.owner;
    return owner instanceof MemoryLink ? owner : undefined;
  }

  /** When both sides are established. */
  private activate(): void {
    const other = this.partnerLink();
    if (other?.plan === undefined || this.plan === undefined || this.active) return;
    if (!this.end.open || !other.end.open) return;
    this.active = true;
    other.active = true;
    this.check(other, this.plan, other.plan);
    if (this.device.isDiskless || other.device.isDiskless) return;
    const bits = this.unite(other);
    this.flushWaiting(other);
    other.flushWaiting(this);
    if (this.plan.resync === 'source') this.begin(other, bits);
    if (this.plan.resync === 'target') other.begin(this, bits);
  }

  private check(other: MemoryLink, own: EstablishPlan, peer: EstablishPlan): void {
    const mirrored = { none: 'none', source: 'target', target: 'source' }[own.resync];
    if (mirrored !== peer.resync) this.device.blame(`plans ${own.resync} and ${peer.resync}`);
    if (this.device.isDiskless || other.device.isDiskless) return;
    if (own.peerCurrentUuid !== other.device.disk.meta.currentUuid) {
      this.device.blame('a generation changed before the connection was established');
    }
    const target = own.resync === 'target' ? this.device : other.device;
    if (own.resync !== 'none' && target.disk.meta.consistent) {
      target.blame('a target is consistent');
    }
    if (own.resync === 'none' && !sameBlocks(this.device, other.device)) {
      this.device.blame('copies that differ are called in sync');
    }
  }

  private unite(other: MemoryLink): Set<number> {
    const bits = new Set([...this.record().bits, ...other.record().bits]);
    for (const block of bits) {
      this.record().bits.add(block);
      other.record().bits.add(block);
    }
    return bits;
  }

  private flushWaiting(other: MemoryLink): void {
    for (const [block, value] of this.waiting) other.device.apply(block, value);
    this.waiting.clear();
  }

  /** This side is the source. */
  private begin(target: MemoryLink, bits: ReadonlySet<number>): void {
    this.totalBlocks = bits.size;
    target.totalBlocks = bits.size;
    for (const link of [this, target]) link.tell('resyncStarted');
    this.copyNext(target, [...bits]);
  }

  private copyNext(target: MemoryLink, blocks: number[]): void {
    this.device.network.clock.after(1, () => {
      if (this.isBroken(target)) return;
      this.device.network.count('block');
      if (this.isBroken(target)) return;
      const block = blocks.shift();
      if (block === undefined) {
        this.finish(target);
        return;
      }
      this.copy(target, block);
      this.copyNext(target, blocks);
    });
  }

  private isBroken(target: MemoryLink): boolean {
    const open = this.end.open && target.end.open && this.active && target.active;
    return !open || this.device.dead || target.device.dead;
  }

  private copy(target: MemoryLink, block: number): void {
    const value = this.device.disk.blocks.get(block);
    if (value !== undefined) target.device.apply(block, value);
    else target.device.disk.blocks.delete(block);
    for (const link of [this, target]) {
      link.record().bits.delete(block);
      link.copiedBlocks += 1;
    }
  }

  private finish(target: MemoryLink): void {
    if (!sameBlocks(this.device, target.device)) target.device.blame('differs after its resync');
    const { disk } = target.device;
    const { currentUuid } = this.device.disk.meta;
    if (disk.meta.currentUuid !== currentUuid) disk.setUuid(currentUuid);
    for (const uuid of [...this.device.disk.meta.historyUuids].reverse()) disk.pushHistory(uuid);
    disk.patch({ consistent: true, wasUpToDate: true, outdated: false, crashed: false });
    for (const record of disk.peers) record.fills = false;
    for (const link of [this, target]) {
      Object.assign(link.record(), { bitmapUuid: 0n, fullSync: false, promotedApart: false });
      link.totalBlocks = 0;
    }
    for (const link of [this, target]) link.tell('resyncFinished');
  }

  private onClosed(detail: string): void {
    const { device, slot, incarnation } = this;
    const missed = [...this.waiting.keys()];
    this.active = false;
    if (this.receiving && device.suspendsOnLoss) device.undecided.set(slot, incarnation);
    this.receiving = false;
    if (this.plan?.resync === 'target') device.loseSource(this.plan.peerCurrentUuid);
    this.waiting.clear();
    if (!device.dead && missed.length > 0) device.miss(slot, missed);
    device.emit({ type: 'linkClosed', slot, incarnation, loss: 'BrokenPipe', detail });
  }

  private record(): PeerRecord {
    return this.device.disk.record(this.slot);
  }

  private tell(type: 'resyncStarted' | 'resyncFinished'): void {
    const { slot, incarnation } = this;
    this.device.emit({ type, slot, incarnation });
  }
}

export function sameBlocks(a: MemoryDevice, b: MemoryDevice): boolean {
  const blocks = new Set([...a.disk.blocks.keys(), ...b.disk.blocks.keys()]);
  return [...blocks].every((block) => a.disk.blocks.get(block) === b.disk.blocks.get(block));
}
