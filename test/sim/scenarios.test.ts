// Orders of failures that SCENARIOS name and that need an exact moment: over the simulator, one
// step after the other, with everything that its checker knows.

import { giveUp, discard } from './administrator';
import { DISK } from './cluster';
import { compare } from './healing';
import type { Machine } from './machine';
import type { Story } from './story';
import { SMALL, close, cut, demote, mirror, outside, pair, run, until, write } from './stage';

afterEach(close);

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

test(
  'a copy that is promoted by force in a resync after a crash does not overwrite its source',
  outside(() => {
    const story = mirror(27, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 300);
    story.crash(alpha, 'process');
    alpha.node.setDisk(DISK, { latencyUs: [500, 1000], flushUs: 3000 });
    story.boot(alpha);
    until(story, () => alpha.isUp && alpha.peer(beta).replicationState === 'SyncTarget');
    expect(alpha.metadata().currentUuid).toBe(beta.metadata().currentUuid);
    story.crash(beta, 'process');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    run(story, alpha, 'promote --force', () => alpha.resource.promote({ force: true }));
    write(story, 100);
    story.boot(beta);
    const split = (one: Machine, two: Machine): boolean =>
      one.isUp && one.peer(two).reason.startsWith('split brain');
    until(story, () => split(alpha, beta) && split(beta, alpha));
    giveUp(story, beta, () => discard(beta));
    until(story, () => beta.peer(alpha).replicationState === 'SyncTarget');
    compare(story);
    expect(alpha.isPrimary).toBe(true);
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
  'beside an Inconsistent copy the Outdated one is taken, as the reason says',
  outside(() => {
    const story = mirror(16, SMALL);
    const [alpha, beta] = pair(story);
    story.crash(beta, 'power');
    write(story, 300);
    story.boot(beta);
    until(story, () => beta.isUp && beta.peer(alpha).replicationState === 'SyncTarget');
    cut(story, alpha, beta, true);
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    demote(story, alpha);
    run(story, alpha, 'outdate', () => alpha.resource.outdate());
    cut(story, alpha, beta, false);
    until(story, () => /take it with promote --force there/.test(beta.peer(alpha).reason));
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

/** Orders outdate on a Secondary so long after its connection was cut off: is that lasting? */
function outdatedInSyncAfter(us: number): boolean {
  const story = mirror(13, SMALL);
  const [alpha, beta] = pair(story);
  beta.node.setDisk(DISK, { latencyUs: [500, 1000], flushUs: 20_000 });
  story.cluster.world.resetConnections(alpha.node, beta.node);
  until(story, () => beta.peer(alpha).connectionState !== 'Connected');
  story.cluster.pass(us);
  story.order(beta.command('outdate', () => beta.resource.outdate()));
  until(story, () => beta.pending.size === 0);
  story.cluster.pass(2_000_000);
  return beta.metadata().outdated && beta.peer(alpha).replicationState === 'Established';
}

test(
  'a copy that is declared Outdated connects to nobody before that is durable',
  outside(() => {
    const moments = Array.from({ length: 60 }, (_, step) => step * 4000);
    expect(moments.filter(outdatedInSyncAfter)).toEqual([]);
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
    // The reason says what to do, and so it is healed.
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
    run(story, alpha, 'promote --force', () => alpha.resource.promote({ force: true }));
    write(story, 10);
    demote(story, alpha);
    story.cluster.world.setCut(alpha.node, beta.node, false);
    const stands = (one: Machine, two: Machine): boolean =>
      one.peer(two).reason.startsWith('split brain');
    until(story, () => stands(alpha, beta) && stands(beta, alpha));
  }),
);

const splitFrom = (one: Machine, two: Machine): boolean =>
  one.peer(two).reason.startsWith('split brain');

/** Both have gone on alone and say so; nobody is Primary. */
function parted(seed: number): Story {
  const story = mirror(seed, SMALL);
  const [alpha, beta] = pair(story);
  cut(story, alpha, beta, true);
  until(story, () => [alpha, beta].every((one) => one.peer(story.other(one)).role === 'Unknown'));
  write(story, 20);
  demote(story, alpha);
  run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
  write(story, 20);
  demote(story, beta);
  cut(story, alpha, beta, false);
  until(story, () => splitFrom(alpha, beta) && splitFrom(beta, alpha));
  return story;
}

/** The connection of an order to discard is cut so long after it; then its copy goes on. */
function discardCutAfter(us: number): string {
  const story = parted(41);
  const [alpha, beta] = pair(story);
  giveUp(story, alpha, () => discard(alpha));
  until(story, () => alpha.pending.size === 0);
  story.cluster.pass(us);
  cut(story, alpha, beta, true);
  story.cluster.world.resetConnections(alpha.node, beta.node);
  until(story, () => [alpha, beta].every((one) => one.peer(story.other(one)).role === 'Unknown'));
  story.cluster.pass(1_000_000);
  if (alpha.state?.diskState !== 'UpToDate') return 'given up';
  // Its peer has noted nothing that it has not done.
  const [towardsAlpha] = beta.metadata().peers.filter(({ name }) => name === alpha.name);
  expect(towardsAlpha?.bitmapUuid).not.toBe(alpha.metadata().currentUuid);
  run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
  write(story, 100);
  demote(story, alpha);
  cut(story, alpha, beta, false);
  // The checker fails where what was written after the promotion is overwritten.
  until(story, () => splitFrom(alpha, beta) && splitFrom(beta, alpha));
  return 'kept';
}

test(
  'an order to discard that only the other node has heard does not reach what is written later',
  outside(() => {
    const moments = Array.from({ length: 16 }, (_, step) => step * 25);
    expect(new Set(moments.map(discardCutAfter))).toEqual(new Set(['kept', 'given up']));
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
    const [alpha, beta] = pair(story);
    write(story, 100);
    demote(story, alpha);
    cut(story, alpha, beta, true);
    until(story, () => [alpha, beta].every((one) => one.peer(story.other(one)).role === 'Unknown'));
    for (const one of [alpha, beta]) {
      story.order(one.command('promote', () => one.resource.promote({ force: false })));
    }
    until(story, () => alpha.pending.size + beta.pending.size === 0);
    expect(story.primaries.length).toBeLessThan(2);
    compare(story);
  }),
);

/** The target of a resync is cut off so long after the copying began. */
function cutTargetAfter(us: number): { readonly machine: Machine; readonly story: Story } {
  const story = mirror(15, SMALL);
  const { world } = story.cluster;
  const [alpha, beta] = pair(story);
  run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
  write(story, 300);
  alpha.node.setDisk(DISK, { latencyUs: [500, 1000], flushUs: 3000 });
  story.order(alpha.command('attach', () => alpha.resource.attach()));
  until(story, () => alpha.peer(beta).replicationState === 'SyncTarget');
  story.cluster.pass(us);
  world.resetConnections(alpha.node, beta.node);
  world.setCut(beta.node, alpha.node, true);
  until(story, () => alpha.peer(beta).connectionState !== 'Connected');
  return { machine: alpha, story };
}

test(
  'a resync whose end is written while its connection is lost leaves a copy that is UpToDate',
  outside(() => {
    const moments = Array.from({ length: 60 }, (_, step) => step * 1000);
    const ends = moments.map((us) => {
      const { machine, story } = cutTargetAfter(us);
      const before = machine.metadata().consistent;
      story.cluster.pass(50_000);
      const { consistent } = machine.metadata();
      expect(machine.state?.diskState).toBe(consistent ? 'UpToDate' : 'Inconsistent');
      const [, beta] = pair(story);
      story.cluster.world.setCut(beta.node, machine.node, false);
      compare(story);
      expect(machine.isPrimary).toBe(true);
      return `${before} ${consistent}`;
    });
    expect(new Set(ends)).toEqual(new Set(['false false', 'false true', 'true true']));
  }),
);
