// A writer that knows what was acknowledged: every block carries its number and a version, and
// after a failover each block must hold its last acknowledged version, or the one in flight.

import type { NbdClient } from './nbdClient';

export interface WriterOptions {
  /** Blocks that are written. */
  readonly blocks: number;
  /** The first of them on the device. */
  readonly firstBlock?: number;
  readonly blockBytes?: number;
  /** Writes in flight. */
  readonly depth?: number;
  /** After so many acknowledgements comes a flush; 0: never. */
  readonly flushEvery?: number;
  readonly seed?: number;
}

const CHECK_BYTES = 1024 * 1024;

export class AckedWriter {
  /** Writes acknowledged so far. */
  acknowledged = 0;
  /** Flushes acknowledged so far. */
  flushed = 0;
  /** Moment of the last acknowledgement, by performance.now(). */
  lastMs = 0;
  private readonly blockBytes: number;
  private readonly firstByte: number;
  private readonly depth: number;
  private readonly flushEvery: number;
  private readonly acked: Uint32Array;
  private readonly issued: Uint32Array;
  private readonly busy = new Set<number>();
  private pauses: { readonly endMs: number; readonly lengthMs: number }[] = [];
  private stopping = false;
  private loops: Promise<void>[] = [];
  private random: number;

  constructor(private readonly options: WriterOptions) {
    this.blockBytes = options.blockBytes ?? 4096;
    this.firstByte = (options.firstBlock ?? 0) * this.blockBytes;
    this.depth = options.depth ?? 8;
    this.flushEvery = options.flushEvery ?? 0;
    this.random = options.seed ?? 1;
    this.acked = new Uint32Array(options.blocks);
    this.issued = new Uint32Array(options.blocks);
  }

  start(client: NbdClient): void {
    this.stopping = false;
    this.lastMs = performance.now();
    this.pauses = [];
    this.loops = Array.from({ length: this.depth }, () => this.writeOn(client));
    // Whoever calls stop() hears of it; until then nobody does.
    for (const loop of this.loops) loop.catch(() => undefined);
  }

  /** What is in flight is finished first. Rejects when a write failed. */
  async stop(): Promise<void> {
    this.stopping = true;
    await Promise.all(this.loops);
  }

  /** After the server's death: writes in flight may or may not be there. */
  async abandon(): Promise<void> {
    this.stopping = true;
    await Promise.allSettled(this.loops);
    this.busy.clear();
  }

  /** The longest time without an acknowledgement that ended after `sinceMs`. */
  longestPauseMs(sinceMs = 0): number {
    const open = performance.now() - this.lastMs;
    const since = this.pauses.filter((pause) => pause.endMs >= sinceMs);
    return Math.max(open, ...since.map((pause) => pause.lengthMs));
  }

  /** Fails at the first block that lost an acknowledged write. What is read counts from now on. */
  async check(client: NbdClient): Promise<void> {
    const atOnce = Math.max(1, Math.floor(CHECK_BYTES / this.blockBytes));
    for (let start = 0; start < this.options.blocks; start += atOnce) {
      const blocks = Math.min(atOnce, this.options.blocks - start);
      const offset = this.firstByte + start * this.blockBytes;
      const data = await client.read(offset, blocks * this.blockBytes);
      for (let index = 0; index < blocks; index++) {
        const from = index * this.blockBytes;
        this.checkBlock(start + index, data.subarray(from, from + this.blockBytes));
      }
    }
  }

  private checkBlock(block: number, data: Buffer): void {
    const version = this.versionOf(data, block);
    const acked = this.acked[block] ?? 0;
    const issued = this.issued[block] ?? 0;
    if (version !== acked && version !== issued) {
      const found = `block ${block} (byte ${this.offsetOf(block)}) holds version ${version}`;
      throw new Error(`${found}, acknowledged ${acked}, in flight ${issued}`);
    }
    this.acked[block] = version;
    this.issued[block] = version;
  }

  private async writeOn(client: NbdClient): Promise<void> {
    while (!this.stopping) {
      const block = this.choose();
      const version = (this.issued[block] ?? 0) + 1;
      this.issued[block] = version;
      await client.write(this.offsetOf(block), this.content(block, version));
      this.acked[block] = version;
      this.busy.delete(block);
      this.acknowledged++;
      this.noteAcknowledgement();
      if (this.flushEvery > 0 && this.acknowledged % this.flushEvery === 0) {
        await client.flush();
        this.flushed++;
      }
    }
  }

  private offsetOf(block: number): number {
    return this.firstByte + block * this.blockBytes;
  }

  private noteAcknowledgement(): void {
    const now = performance.now();
    const lengthMs = now - this.lastMs;
    if (lengthMs > 20) this.pauses.push({ endMs: now, lengthMs });
    this.lastMs = now;
  }

  private choose(): number {
    for (;;) {
      this.random = (Math.imul(this.random, 1_664_525) + 1_013_904_223) >>> 0;
      const block = (this.random >>> 8) % this.options.blocks;
      if (this.busy.has(block)) continue;
      this.busy.add(block);
      return block;
    }
  }

  private content(block: number, version: number): Buffer {
    const stamp = Buffer.alloc(8);
    stamp.writeUInt32BE(block, 0);
    stamp.writeUInt32BE(version, 4);
    return Buffer.alloc(this.blockBytes, stamp);
  }

  private versionOf(data: Buffer, block: number): number {
    const version = data.readUInt32BE(4);
    const expected = version === 0 ? Buffer.alloc(this.blockBytes) : this.content(block, version);
    if (!data.equals(expected)) throw new Error(`block ${block} is torn or another's`);
    return version;
  }
}
