// The application of the demo: it writes blocks at random, each with its number and a version in
// it, and remembers what was acknowledged. Afterwards every block must hold its last acknowledged
// version, or the one that was on its way when the Primary died.

const BLOCK_BYTES = 4096;
const DEPTH = 32;
const READ_BYTES = 1024 * 1024;

export class Writer {
  /** Writes within the first `bytes` of the device. */
  constructor(bytes) {
    this.blocks = Math.floor(bytes / BLOCK_BYTES);
    this.acked = new Uint32Array(this.blocks);
    this.issued = new Uint32Array(this.blocks);
    this.busy = new Set();
    this.acknowledged = 0;
    this.loops = [];
  }

  start(client) {
    this.stopping = false;
    this.longestPauseMs = 0;
    this.lastMs = performance.now();
    this.loops = Array.from({ length: DEPTH }, () => this.writeOn(client));
    for (const loop of this.loops) loop.catch(() => undefined);
  }

  /** Finishes what is under way. */
  async stop() {
    this.stopping = true;
    await Promise.all(this.loops);
  }

  /** The server is gone, and what was under way with it. */
  async abandon() {
    this.stopping = true;
    await Promise.allSettled(this.loops);
    this.busy.clear();
  }

  /** Reads everything back; the number of blocks that lost an acknowledged write. */
  async countLost(client) {
    let lost = 0;
    const perRead = READ_BYTES / BLOCK_BYTES;
    for (let first = 0; first < this.blocks; first += perRead) {
      const count = Math.min(perRead, this.blocks - first);
      const data = await client.read(first * BLOCK_BYTES, count * BLOCK_BYTES);
      for (let i = 0; i < count; i++) {
        const block = data.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES);
        if (!this.accept(first + i, block)) lost++;
      }
    }
    return lost;
  }

  /** Blocks that were written at least once. */
  writtenBlocks() {
    return this.acked.reduce((count, version) => count + (version > 0 ? 1 : 0), 0);
  }

  accept(index, data) {
    const version = data.readUInt32BE(4);
    const whole = version === 0 ? Buffer.alloc(BLOCK_BYTES) : content(index, version);
    const known = version === this.acked[index] || version === this.issued[index];
    if (!known || !data.equals(whole)) return false;
    this.acked[index] = version;
    this.issued[index] = version;
    return true;
  }

  async writeOn(client) {
    while (!this.stopping) {
      const index = this.choose();
      const version = this.issued[index] + 1;
      this.issued[index] = version;
      await client.write(index * BLOCK_BYTES, content(index, version));
      this.acked[index] = version;
      this.busy.delete(index);
      this.acknowledged++;
      const now = performance.now();
      this.longestPauseMs = Math.max(this.longestPauseMs, now - this.lastMs);
      this.lastMs = now;
    }
  }

  choose() {
    for (;;) {
      const index = Math.floor(Math.random() * this.blocks);
      if (this.busy.has(index)) continue;
      this.busy.add(index);
      return index;
    }
  }
}

function content(index, version) {
  const stamp = Buffer.alloc(8);
  stamp.writeUInt32BE(index, 0);
  stamp.writeUInt32BE(version, 4);
  return Buffer.alloc(BLOCK_BYTES, stamp);
}
