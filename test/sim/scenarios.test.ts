// Orders of failures that SCENARIOS name and that need an exact moment: over the simulator, one
// step after the other, with everything that its checker knows.

import { giveUp, discard } from './administrator';
import { Cluster, DISK } from './cluster';
import { compare, heal } from './healing';
import type { Machine } from './machine';
import { drawPlan } from './plan';
import type { Plan } from './plan';
import { loadSimAddon } from './simAddon';
import { Story } from './story';

/** What is hot at a crash is copied in full. */
const SMALL = { diskBytes: 1 << 20 };
const WAIT_US = 20_000_000;
const WRITERS = [
  { depth: 2, pauseUs: 200, readPercent: 0, flushPercent: 0, zeroPercent: 0, largeOneIn: 1000 },
];

let open: Cluster | undefined;

afterEach(() => {
  open?.world.close();
  open = undefined;
});

/** Microtasks are run by hand, which cannot be done from within one. */
function outside(body: () => void): () => Promise<void> {
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

/** Two copies in sync, the first Primary; its clients ask nothing yet. */
function mirror(seed: number, changes: Partial<Plan> = {}): Story {
  open?.world.close();
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
const THREE = { ...SMALL, nodes: 3 };

function pair(story: Story): [Machine, Machine] {
  return [story.cluster.named('alpha'), story.cluster.named('beta')];
}

function run(story: Story, machine: Machine, name: string, command: () => Promise<unknown>): void {
  story.cluster.finish(machine.command(name, command), name);
}

function until(story: Story, condition: () => boolean): void {
  expect(story.cluster.until(condition, WAIT_US)).toBe(true);
}

/** Its clients hang up first. */
function demote(story: Story, machine: Machine): void {
  story.crew.leave(machine);
  story.cluster.pass(10_000);
  run(story, machine, 'demote', () => machine.resource.demote());
}

function write(story: Story, operations: number): void {
  const wanted = story.cluster.world.operations() + operations;
  story.crew.grant(operations);
  until(story, () => story.cluster.world.operations() >= wanted);
}

test(
  'source becomes target: it dies in a resync, its target is promoted by force',
  outside(() => {
    const story = mirror(1);
    const [alpha, beta] = pair(story);
    story.crash(beta, 'power');
    write(story, 300);
    story.boot(beta);
    until(story, () => beta.isUp && beta.peer(alpha).replicationState === 'SyncTarget');
    story.crash(alpha, 'power');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    const promote = (force: boolean) => (): Promise<void> => beta.resource.promote({ force });
    expect(() => run(story, beta, 'promote', promote(false))).toThrow(/is Inconsistent/);
    run(story, beta, 'promote --force', promote(true));
    write(story, 100);
    story.boot(alpha);
    const split = (one: Machine, two: Machine): boolean =>
      one.isUp && one.peer(two).reason.startsWith('split brain');
    until(story, () => split(alpha, beta) && split(beta, alpha));
    giveUp(story, alpha, () => discard(alpha));
    until(story, () => alpha.peer(beta).replicationState === 'SyncTarget');
    compare(story);
    expect(beta.isPrimary).toBe(true);
  }),
);

/** Cuts the Primary's power so long after its first client asks; answers what was known then. */
function crashAfter(us: number): { readonly answered: number; readonly marked: boolean } {
  const story = mirror(2, SMALL);
  const { cluster } = story;
  const [alpha, beta] = pair(story);
  const before = cluster.world.operations();
  story.crew.grant(5);
  cluster.pass(us);
  const answered = cluster.world.operations() - before;
  story.crash(alpha, 'power');
  story.boot(alpha);
  until(story, () => alpha.isUp);
  const marked = alpha.outOfSyncBytes(beta) > 0;
  compare(story);
  return { answered, marked };
}

test(
  'crash between log write and data write: at each moment of the first write',
  outside(() => {
    const story = mirror(2, SMALL);
    const before = story.cluster.world.operations();
    const begunUs = story.cluster.world.nowUs();
    story.crew.grant(5);
    until(story, () => story.cluster.world.operations() > before);
    const lastedUs = story.cluster.world.nowUs() - begunUs;
    const moments = Array.from({ length: 18 }, (_, step) => Math.round((lastedUs * step) / 15));
    const crashes = moments.map(crashAfter);
    // Before the log page is written nothing is marked; from there on all of the extent is.
    expect(crashes[0]).toEqual({ answered: 0, marked: false });
    expect(crashes.some(({ answered, marked }) => answered === 0 && marked)).toBe(true);
    expect(crashes.every(({ answered, marked }) => answered === 0 || marked)).toBe(true);
  }),
);

test(
  'a copy that was declared Outdated goes on with what the crashed Primary has lost',
  outside(() => {
    const story = mirror(3, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 300);
    story.crash(alpha, 'power');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    run(story, beta, 'outdate', () => beta.resource.outdate());
    story.boot(alpha);
    until(story, () => alpha.isUp && alpha.peer(beta).replicationState === 'SyncTarget');
    compare(story);
  }),
);

test(
  'a Secondary that the Primary lost for a while becomes Primary itself',
  outside(() => {
    const story = mirror(4, THREE);
    const { world } = story.cluster;
    const [alpha] = pair(story);
    demote(story, alpha);
    heal(story);
    const [first] = story.primaries;
    if (first === undefined) throw new Error('nobody is Primary');
    const [lost, other] = story.cluster.others(first) as [Machine, Machine];
    const linked = (): boolean => lost.peer(other).replicationState === 'Established';
    expect(linked()).toBe(true);
    world.setCut(first.node, lost.node, true);
    write(story, 50);
    until(story, () => first.peer(lost).connectionState !== 'Connected');
    world.setCut(first.node, lost.node, false);
    until(story, () => lost.peer(first).replicationState === 'Established');
    demote(story, first);
    run(story, lost, 'promote', () => lost.resource.promote({ force: false }));
    compare(story);
    expect(lost.isPrimary).toBe(true);
  }),
);

test(
  'killed, resynced from, then without power: what the killed process wrote is still there',
  outside(() => {
    const story = mirror(5, { ...SMALL, metaDisk: '/meta' });
    const [alpha, beta] = pair(story);
    write(story, 300);
    story.crash(alpha, 'process');
    story.crash(beta, 'process');
    story.boot(alpha);
    story.boot(beta);
    until(story, () => alpha.isUp && alpha.peer(beta).replicationState === 'SyncSource');
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    expect(alpha.outOfSyncBytes(beta)).toBe(0);
    story.crash(alpha, 'power');
    story.boot(alpha);
    compare(story);
  }),
);

test(
  'a Secondary that a Primary feeds takes nothing from another Primary',
  outside(() => {
    const story = mirror(6, THREE);
    const { world } = story.cluster;
    const [alpha, beta] = pair(story);
    const gamma = story.cluster.named('gamma');
    const cut = (one: Machine, other: Machine, how: boolean): void => {
      world.setCut(one.node, other.node, how);
      world.setCut(other.node, one.node, how);
    };
    for (const other of [alpha, gamma]) cut(beta, other, true);
    const lost = (other: Machine): boolean => beta.peer(other).connectionState !== 'Connected';
    until(story, () => lost(alpha) && lost(gamma));
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.crew.leave(beta);
    cut(beta, gamma, false);
    until(story, () => gamma.peer(beta).connectionState === 'Connected');
    expect(gamma.peer(beta).replicationState).toBe('Off');
    expect(gamma.peer(beta).reason).toMatch(/another node is Primary/);
    expect(gamma.peer(alpha).replicationState).toBe('Established');
    write(story, 100);
    run(story, beta, 'demote', () => beta.resource.demote());
    cut(beta, alpha, false);
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

/** Orders outdate on the source of a resync, so long after its connection was cut off. */
function outdateAfter(us: number): readonly [boolean, string] {
  const story = mirror(7, SMALL);
  const [alpha, beta] = pair(story);
  demote(story, alpha);
  story.order(beta.command('invalidate', () => beta.resource.invalidate()));
  until(story, () => alpha.peer(beta).replicationState === 'SyncSource');
  alpha.node.setDisk(DISK, { latencyUs: [500, 1000], flushUs: 10_000 });
  story.cluster.world.resetConnections(alpha.node, beta.node);
  until(story, () => alpha.peer(beta).connectionState !== 'Connected');
  story.cluster.pass(us);
  story.order(alpha.command('outdate', () => alpha.resource.outdate()));
  until(story, () => alpha.pending.size === 0);
  return [alpha.metadata().outdated, alpha.state?.diskState ?? ''];
}

test(
  'a copy is Outdated, or is told that it cannot be, at each moment of a handshake',
  outside(() => {
    const moments = Array.from({ length: 40 }, (_, step) => step * 2000);
    const ends = moments.map((us) => outdateAfter(us).join(' '));
    expect(ends.filter((end) => !['false UpToDate', 'true Outdated'].includes(end))).toEqual([]);
  }),
);

test(
  'a Primary attaches its disk again when the copy that served it has lost its power',
  outside(() => {
    const story = mirror(8, SMALL);
    const [alpha, beta] = pair(story);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
    write(story, 300);
    story.order(alpha.command('attach', () => alpha.resource.attach()));
    until(story, () => alpha.state?.diskState === 'Negotiating');
    story.crew.expectErrors(alpha);
    story.crash(beta, 'power');
    story.boot(beta);
    until(story, () => beta.isUp && alpha.peer(beta).connectionState === 'Connected');
    expect(alpha.peer(beta).reason).toMatch(/clients of the Primary have seen data/);
    demote(story, alpha);
    compare(story);
  }),
);

test(
  'a Primary attaches its disk again when the copy that served it was killed',
  outside(() => {
    const story = mirror(9, SMALL);
    const [alpha, beta] = pair(story);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
    write(story, 300);
    story.order(alpha.command('attach', () => alpha.resource.attach()));
    until(story, () => alpha.state?.diskState === 'Negotiating');
    story.crash(beta, 'process');
    story.boot(beta);
    until(story, () => beta.isUp && alpha.peer(beta).replicationState === 'SyncTarget');
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

test(
  'an order to discard does not reach what is written after a promotion',
  outside(() => {
    const story = mirror(10, SMALL);
    const [alpha, beta] = pair(story);
    story.crash(alpha, 'power');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    giveUp(story, beta, () => discard(beta));
    until(story, () => beta.pending.size === 0);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 100);
    demote(story, beta);
    // Promoted by force, so that both have gone on alone.
    story.cluster.world.setCut(alpha.node, beta.node, true);
    story.boot(alpha);
    until(story, () => alpha.isUp);
    run(story, alpha, 'promote', () => alpha.resource.promote({ force: true }));
    write(story, 10);
    demote(story, alpha);
    story.cluster.world.setCut(alpha.node, beta.node, false);
    const stands = (one: Machine, two: Machine): boolean =>
      one.peer(two).reason.startsWith('split brain');
    until(story, () => stands(alpha, beta) && stands(beta, alpha));
  }),
);

test(
  'a copy that is given up connects to nobody before that is durable',
  outside(() => {
    const story = mirror(11, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 100);
    demote(story, alpha);
    // Its peer connects anew meanwhile.
    alpha.node.setDisk(DISK, { latencyUs: [20_000, 40_000], flushUs: 100_000 });
    giveUp(story, alpha, () => {
      run(story, alpha, 'resync --full', () => alpha.resource.resync({ full: true }));
      return Promise.resolve();
    });
    until(story, () => alpha.peer(beta).replicationState === 'SyncTarget');
    compare(story);
  }),
);

const FENCED = {
  'resource.device': 'none',
  'net.timeout-ms': 500,
  'net.fencing': 'resource-only',
  'handlers.fence-peer': '/bin/handler',
  'handlers.timeout-ms': 3000,
};

test(
  'two promotions at once that fence each other end, and the copies come into sync',
  outside(() => {
    const story = mirror(12, { ...SMALL, options: FENCED });
    const { world } = story.cluster;
    const [alpha, beta] = pair(story);
    write(story, 100);
    demote(story, alpha);
    for (const [one, two] of [[alpha, beta] as const, [beta, alpha] as const]) {
      world.setCut(one.node, two.node, true);
    }
    until(story, () => [alpha, beta].every((one) => one.peer(story.other(one)).role === 'Unknown'));
    for (const one of [alpha, beta]) {
      story.order(one.command('promote', () => one.resource.promote({ force: false })));
    }
    until(story, () => alpha.pending.size + beta.pending.size === 0);
    expect(story.primaries.length).toBeLessThan(2);
    compare(story);
  }),
);

test(
  'a copy that was brought up to date knows the generations it was spared',
  outside(() => {
    const story = mirror(13, THREE);
    const [alpha, beta] = pair(story);
    const gamma = story.cluster.named('gamma');
    story.crash(beta, 'power');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    write(story, 50);
    story.crash(gamma, 'power');
    until(story, () => alpha.peer(gamma).connectionState !== 'Connected');
    write(story, 50);
    story.boot(beta);
    until(story, () => beta.isUp && beta.peer(alpha).replicationState === 'Established');
    story.crash(alpha, 'power');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.boot(gamma);
    const settled = (): boolean => {
      const { connectionState, replicationState } = gamma.peer(beta);
      return connectionState === 'StandAlone' || replicationState === 'Established';
    };
    until(story, () => gamma.isUp && settled());
    expect(gamma.peer(beta).reason).toBe('');
    compare(story);
    expect(beta.isPrimary).toBe(true);
  }),
);
