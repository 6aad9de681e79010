// Four clients of one Primary, each with a part of the device of its own, that know what was
// acknowledged. They follow the resource from one Primary to the next.

import { AckedWriter } from './ackedWriter';
import { NbdClient } from './nbdClient';
import { until } from './privateBus';
import type { SystemNode } from './systemNode';

const WRITERS = 4;

export interface WritersSpec {
  /** Blocks of 4 KiB of the device's start, for all together. */
  readonly blocks?: number;
  /** Writes in flight, of each. */
  readonly depth?: number;
  readonly flushEvery?: number;
  readonly seed?: number;
}

export class Writers {
  private readonly writers: readonly AckedWriter[];
  private clients: NbdClient[] = [];

  constructor(spec: WritersSpec = {}) {
    const blocks = Math.floor((spec.blocks ?? 8000) / WRITERS);
    const { depth = 8, flushEvery = 50, seed = 1 } = spec;
    this.writers = Array.from({ length: WRITERS }, (_, index) => {
      const firstBlock = index * blocks;
      return new AckedWriter({ blocks, firstBlock, depth, flushEvery, seed: seed * 4 + index });
    });
  }

  /** Acknowledged so far, of all. */
  get acknowledged(): number {
    return this.writers.reduce((sum, writer) => sum + writer.acknowledged, 0);
  }

  get flushed(): number {
    return this.writers.reduce((sum, writer) => sum + writer.flushed, 0);
  }

  async start(node: SystemNode): Promise<void> {
    for (const writer of this.writers) {
      const client = await NbdClient.open(node.socket());
      this.clients.push(client);
      writer.start(client);
    }
  }

  /** Each of them gets that many more acknowledgements. */
  async goOn(writes = 100, deadlineMs = 30_000): Promise<void> {
    const before = this.writers.map((writer) => writer.acknowledged);
    const counts = (): number[] =>
      this.writers.map((writer, index) => writer.acknowledged - (before[index] ?? 0));
    try {
      await until('writing goes on', () => counts().every((count) => count >= writes), deadlineMs);
    } catch (error) {
      throw new Error(`${String(error)}: ${counts().join(', ')} writes`, { cause: error });
    }
  }

  /** Until none has had an acknowledgement for so long. */
  async stall(ms = 300): Promise<void> {
    const last = (): number => Math.max(...this.writers.map((writer) => writer.lastMs));
    await until('the writers wait', () => performance.now() - last() > ms, 30_000);
  }

  longestPauseMs(sinceMs: number): number {
    return Math.max(...this.writers.map((writer) => writer.longestPauseMs(sinceMs)));
  }

  /** What is in flight is finished first; then every block holds what was acknowledged. */
  async finish(): Promise<void> {
    await Promise.all(this.writers.map((writer) => writer.stop()));
    for (const [index, writer] of this.writers.entries()) {
      const client = this.clients[index];
      if (client !== undefined) await writer.check(client);
    }
    await Promise.all(this.clients.map((client) => client.close()));
    this.clients = [];
  }

  /** After the Primary's death: what was in flight may or may not be there. */
  async abandon(): Promise<void> {
    for (const client of this.clients) client.vanish();
    this.clients = [];
    await Promise.all(this.writers.map((writer) => writer.abandon()));
  }

  /** Every block that `node` serves holds what was acknowledged. */
  async check(node: SystemNode): Promise<void> {
    const client = await NbdClient.open(node.socket());
    for (const writer of this.writers) await writer.check(client);
    await client.close();
  }
}
