/**
 * What scenarios are told with: a mirror of two or three simulated nodes in a state that is the
 * same each time, and steps that wait until what they began has come about.
 */
import { present } from '../../src/model/assert';
import { Cluster, DISK } from './cluster';
import { heal } from './healing';
import type { Machine } from './machine';
import { drawPlan } from './plan';
import type { Plan } from './plan';
import { loadSimAddon } from './simAddon';
import { Story } from './story';

/** What is hot at a crash is copied in full. */
export const SMALL = { diskBytes: 1 << 20 };
const WAIT_US = 20_000_000;
export const WRITERS = [
  { depth: 2, pauseUs: 200, readPercent: 0, flushPercent: 0, zeroPercent: 0, largeOneIn: 1000 },
] as const;

let open: Cluster | undefined;

export function close(): void {
  open?.world.close();
  open = undefined;
}

/** Microtasks are run by hand, which cannot be done from within one. */
export function outside(body: () => void): () => Promise<void> {
  return () =>
    new Promise((resolve, reject) => {
      setImmediate(() => {
        try {
          body();
          resolve();
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      });
    });
}

/** Two copies in sync, the first Primary; its clients ask nothing yet. Open until close(). */
export function mirror(seed: number, changes: Partial<Plan> = {}): Story {
  close();
  const options = { 'resource.device': 'none', 'net.timeout-ms': 500 };
  const fixed = { nodes: 2, blockBytes: 512, metaDisk: 'internal', clients: WRITERS } as const;
  const plan: Plan = { ...drawPlan(seed, []), ...fixed, options, diskBytes: 5 << 20, ...changes };
  const cluster = new Cluster(loadSimAddon(), plan, false);
  open = cluster;
  const story = new Story(cluster);
  for (const machine of cluster.machines) {
    machine.boot();
    cluster.finish(machine.create(false), 'create-md');
    cluster.finish(machine.start(), 'up');
  }
  const [alpha] = pair(story);
  cluster.world.model.setDevice(Number(alpha.metadata().sizeBytes));
  run(story, alpha, 'promote --force', () => alpha.resource.promote({ force: true }));
  heal(story);
  return story;
}

/** As drawn of two, but with a third node. */
export const THREE = { ...SMALL, nodes: 3 };

export function pair(story: Story): [Machine, Machine] {
  return [story.cluster.named('alpha'), story.cluster.named('beta')];
}

export function trio(story: Story): [Machine, Machine, Machine] {
  return [...pair(story), story.cluster.named('gamma')];
}

export function run(
  story: Story,
  machine: Machine,
  name: string,
  command: () => Promise<unknown>,
): void {
  story.cluster.finish(machine.command(name, command), name);
}

/** Nothing passes between them any more, or again. */
export function cut(story: Story, one: Machine, other: Machine, how: boolean): void {
  story.cluster.world.setCut(one.node, other.node, how);
  story.cluster.world.setCut(other.node, one.node, how);
}

/** Nothing passes between them, and both know. */
export function cutOff(story: Story, one: Machine, other: Machine): void {
  cut(story, one, other, true);
  const lost = (a: Machine, b: Machine): boolean => a.peer(b).connectionState !== 'Connected';
  until(story, () => lost(one, other) && lost(other, one));
}

export function until(story: Story, condition: () => boolean): void {
  expect(story.cluster.until(condition, WAIT_US)).toBe(true);
}

/** Its clients hang up first. */
export function demote(story: Story, machine: Machine): void {
  story.crew.leave(machine);
  story.cluster.pass(10_000);
  run(story, machine, 'demote', () => machine.resource.demote());
}

export function write(story: Story, operations: number): void {
  const wanted = story.cluster.world.operations() + operations;
  story.crew.grant(operations);
  until(story, () => story.cluster.world.operations() >= wanted);
}

/** It stands alone for that, and says so. */
export function standsFor(verdict: string, one: Machine, two: Machine): boolean {
  const { connectionState, reason } = one.peer(two);
  return connectionState === 'StandAlone' && reason.startsWith(verdict);
}

/** Its copy after a crash, to go back to in another one; the node is up again after either. */
export function keepCopy(
  story: Story,
  machine: Machine,
  how: 'process' | 'power' = 'power',
): () => void {
  story.crash(machine, how);
  const copy = present(story.checker.tryKeep(machine), 'all of it is known');
  const snapshot = machine.node.snapshotDisk(DISK);
  story.boot(machine);
  return () => {
    story.crash(machine, how);
    machine.node.restoreDisk(DISK, snapshot);
    story.checker.restored(machine, copy);
    story.boot(machine);
  };
}
