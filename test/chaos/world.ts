// Two real daemons, the network between them and four writers, as the faults of faults.ts see
// them: who is Primary, and how an administrator or a cluster manager brings it all back.

import { MirrorError } from '../../src/model/errors';
import { until } from '../support/privateBus';
import type { Dice } from '../support/dice';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { Writers } from '../support/systemWriters';

export const TIMEOUT_MS = 2000;
const DISK_BYTES = 24 * MIB;
const BLOCKS = 4000;
/** However busy the machine is. */
const DEADLINE_MS = 120_000;

export class World {
  private primaryIndex = 0;

  private constructor(
    readonly cluster: Cluster,
    readonly writers: Writers,
    readonly dice: Dice,
  ) {}

  /** In sync, and written to. */
  static async open(seed: number, dice: Dice): Promise<World> {
    const options = `[net]\ntimeout-ms = ${TIMEOUT_MS}\n`;
    const spec = { forwarded: true, tmpfs: true, diskBytes: DISK_BYTES, options };
    const cluster = await Cluster.inSync(spec);
    const world = new World(cluster, new Writers({ blocks: BLOCKS, seed }), dice);
    try {
      await world.writers.start(world.primary);
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return world;
  }

  get primary(): SystemNode {
    return this.cluster.node(this.primaryIndex);
  }

  get secondary(): SystemNode {
    return this.cluster.node(1 - this.primaryIndex);
  }

  /** Again while it helps: until the other one is found dead, or its resync has finished. */
  async promote(node: SystemNode): Promise<void> {
    await until(
      `${node.name} is promoted`,
      () => node.call('r0', 'Promote').then(() => true, notYet),
      DEADLINE_MS,
    );
    this.primaryIndex = this.cluster.nodes.indexOf(node);
    await this.writers.check(node);
    await this.writers.start(node);
  }

  async killPrimary(): Promise<void> {
    await this.primary.kill9();
    await this.writers.abandon();
  }

  /** Orderly: what is in flight is finished, and what is read must be what was written. */
  async demotePrimary(): Promise<void> {
    await this.writers.finish();
    await this.primary.call('r0', 'Demote');
  }

  async goOn(writes = 20): Promise<void> {
    await this.writers.goOn(writes, DEADLINE_MS);
  }

  async untilInSync(): Promise<void> {
    await this.cluster.untilInSync('r0', DEADLINE_MS);
  }

  cut(): void {
    for (const link of this.cluster.allLinks) link.cut();
  }

  /** With `forget`, the connections there were are reset. */
  heal(forget: boolean): void {
    for (const link of this.cluster.allLinks) {
      if (forget) link.reset();
      link.heal();
    }
  }

  reset(): void {
    for (const link of this.cluster.allLinks) link.reset();
  }

  /** While everything goes on. */
  async pass(ms: number): Promise<void> {
    const end = performance.now() + ms;
    await until('time passes', () => performance.now() >= end, ms + DEADLINE_MS);
  }

  /** The end of a round: everything acknowledged is there, on both copies. */
  async expectAllWell(): Promise<void> {
    await this.untilInSync();
    await this.goOn();
    await this.writers.finish();
    await this.untilInSync();
    await this.cluster.expectIdentical();
    this.cluster.expectNoSplitBrain();
    await this.writers.start(this.primary);
  }

  /** With `keep`, the logs and the copies stay in the cluster's folder. */
  async close(keep: boolean): Promise<void> {
    await this.writers.abandon();
    await this.cluster.remove(keep);
  }
}

const PASSING: readonly string[] = ['TimedOut', 'InTransition', 'NotUpToDate'];

function notYet(error: unknown): boolean {
  if (error instanceof MirrorError && PASSING.includes(error.code)) return false;
  throw error;
}
