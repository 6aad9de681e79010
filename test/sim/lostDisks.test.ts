// What becomes of copies whose disk failed, was detached or was put back: over the simulator, one
// step after the other, with everything that its checker knows.

import type { PeerState } from '../../src/rules/transitions';
import { giveUp } from './administrator';
import { DISK } from './cluster';
import { compare, heal } from './healing';
import type { Story } from './story';
import {
  SMALL,
  WRITERS,
  close,
  cut,
  cutOff,
  demote,
  keepCopy,
  mirror,
  outside,
  pair,
  run,
  until,
  write,
} from './stage';

afterEach(close);

test(
  'a Secondary whose clean end its disk did not take down has crashed, too',
  outside(() => {
    const options = { 'resource.device': 'none', 'net.timeout-ms': 500, 'resource.protocol': 'B' };
    const story = mirror(13, { ...SMALL, options });
    const [alpha, beta] = pair(story);
    write(story, 300);
    beta.node.setDisk(DISK, { writeErrorRate: 1_000_000 });
    story.crash(alpha, 'power');
    run(story, beta, 'down', () => beta.down());
    story.boot(alpha);
    until(story, () => alpha.isUp);
    beta.node.healDisk(DISK);
    story.order(beta.start());
    until(story, () => beta.isUp && beta.peer(alpha).replicationState === 'SyncTarget');
    until(story, () => beta.peer(alpha).replicationState === 'Established');
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    compare(story);
  }),
);

test(
  'a copy that serves a Primary without a disk goes on with what its clients write',
  outside(() => {
    const story = mirror(14, SMALL);
    const { world } = story.cluster;
    const [alpha, beta] = pair(story);
    write(story, 100);
    demote(story, alpha);
    world.setCut(alpha.node, beta.node, true);
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
    story.crew.expectErrors(alpha);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: true }));
    world.setCut(alpha.node, beta.node, false);
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    write(story, 100);
    story.crash(alpha, 'process');
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.boot(alpha);
    compare(story);
  }),
);

const [WRITER] = WRITERS;
const FLUSHER = { ...WRITER, flushPercent: 100 };

/**
 * Alpha's disk failed as it wrote down the beginning of a generation, beta served it and has that
 * generation not; alpha attaches the disk again, to be filled.
 */
function failedInTheBeginning(story: Story, latencyUs?: [number, number]): void {
  const [alpha, beta] = pair(story);
  const [writer] = story.cluster.clientsOf(alpha);
  write(story, 100);
  writer?.stop();
  story.cluster.pass(10_000);
  const before = alpha.metadata().currentUuid;
  story.crash(beta, 'process');
  until(story, () => alpha.peer(beta).connectionState !== 'Connected');
  // A flush waits for a generation that is written, and does not become durable.
  story.crew.expectErrors(alpha);
  alpha.node.setDisk(DISK, { flushUs: 5000 });
  story.crew.grant(1);
  story.cluster.pass(5500);
  alpha.node.setDisk(DISK, { flushErrorRate: 1_000_000 });
  until(story, () => alpha.state?.diskState === 'Diskless');
  expect(alpha.metadata().currentUuid).not.toBe(before);
  alpha.node.healDisk(DISK);
  story.boot(beta);
  until(story, () => alpha.peer(beta).replicationState === 'Established');
  writer?.start();
  write(story, 100);
  if (latencyUs !== undefined) alpha.node.setDisk(DISK, { latencyUs });
  run(story, alpha, 'attach', () => alpha.resource.attach());
}

test(
  'a disk that failed at the beginning of a generation is filled by who served meanwhile',
  outside(() => {
    const story = mirror(26, { ...SMALL, clients: [WRITER, FLUSHER] });
    const [alpha] = pair(story);
    failedInTheBeginning(story);
    until(story, () => alpha.state?.diskState === 'UpToDate');
    expect(story.met.has('split brain')).toBe(false);
    compare(story);
  }),
);

test(
  'a disk that failed at the beginning of a generation is filled later, too',
  outside(() => {
    const story = mirror(27, { ...SMALL, clients: [WRITER, FLUSHER] });
    const [alpha, beta] = pair(story);
    failedInTheBeginning(story, [20_000, 40_000]);
    until(story, () => alpha.peer(beta).replicationState === 'SyncTarget');
    cutOff(story, alpha, beta);
    alpha.node.healDisk(DISK);
    demote(story, alpha);
    expect(alpha.state?.diskState).toBe('Inconsistent');
    cut(story, alpha, beta, false);
    until(story, () => alpha.state?.diskState === 'UpToDate');
    expect(story.met.has('split brain')).toBe(false);
    compare(story);
  }),
);

test(
  'a crashed Primary does not serve the one that took its place and has lost its disk',
  outside(() => {
    const story = mirror(15, SMALL);
    const [alpha, beta] = pair(story);
    // What its clients asked for last reaches its peer, but not its own disk.
    alpha.node.setDisk(DISK, { latencyUs: [2000, 4000] });
    story.crew.grant(100);
    story.cluster.pass(20_000);
    story.crash(alpha, 'process');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.crew.expectErrors(beta);
    run(story, beta, 'detach', () => beta.resource.detach({ force: true }));
    story.boot(alpha);
    until(story, () => alpha.isUp && beta.peer(alpha).connectionState === 'Connected');
    expect(beta.peer(alpha).reason).toMatch(
      /may lack writes that clients of the Primary have seen/,
    );
    compare(story);
  }),
);

test(
  'a failed write shows on one copy, and not on the one that goes on later',
  outside(() => {
    const options = {
      'resource.device': 'none',
      'net.timeout-ms': 500,
      'disk.on-io-error': 'pass_on',
    };
    const story = mirror(16, { ...SMALL, metaDisk: '/meta', options });
    const [alpha, beta] = pair(story);
    story.crew.expectErrors(alpha);
    alpha.node.setDisk(DISK, { writeErrorRate: 300_000 });
    write(story, 100);
    alpha.node.healDisk(DISK);
    demote(story, alpha);
    expect(alpha.outOfSyncBytes(beta)).toBeGreaterThan(0);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.crash(beta, 'power');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
    story.boot(beta);
    compare(story);
  }),
);

test(
  'a copy that went back to an older state does not serve a Primary without a disk',
  outside(() => {
    const story = mirror(17, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 100);
    const restore = keepCopy(story, beta);
    heal(story);
    write(story, 100);
    story.crew.expectErrors(alpha);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
    restore();
    until(story, () => alpha.peer(beta).connectionState === 'StandAlone');
    expect(alpha.peer(beta).reason).toMatch(/on beta went back .* run demote and attach on alpha/);
    compare(story);
  }),
);

test(
  'a copy that alone served a Primary without a disk went back to when it was last gone',
  outside(() => {
    const story = mirror(29, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 100);
    story.crew.expectErrors(alpha);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
    write(story, 100);
    const restore = keepCopy(story, beta, 'process');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    write(story, 100);
    restore();
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    until(story, () => alpha.peer(beta).reason.startsWith('a backing disk is not there'));
    story.cluster.pass(3_000_000);
    expect(alpha.peer(beta).replicationState).toBe('Off');
    compare(story);
  }),
);

test(
  'a copy goes back to an older state while a Primary attaches its disk again to be filled from it',
  outside(() => {
    const story = mirror(18, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 100);
    const restore = keepCopy(story, beta);
    heal(story);
    story.crew.expectErrors(alpha);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
    write(story, 100);
    story.order(alpha.command('attach', () => alpha.resource.attach()));
    until(story, () => alpha.state?.diskState === 'Negotiating');
    restore();
    until(story, () => alpha.peer(beta).connectionState === 'StandAlone');
    expect(alpha.peer(beta).reason).toMatch(/on beta went back .* run demote on alpha first/);
    demote(story, alpha);
    expect(alpha.state?.diskState).toBe('Inconsistent');
    run(story, alpha, 'promote --force', () => alpha.resource.promote({ force: true }));
    write(story, 100);
    giveUp(story, beta, () =>
      beta.command('resync --full', () => beta.resource.resync({ full: true })),
    );
    compare(story);
  }),
);

/** Protocol A: what was acknowledged last is with its Primary alone, whose connection is dead. */
function ahead(seed: number): Story {
  const options = { 'resource.device': 'none', 'net.timeout-ms': 500, 'resource.protocol': 'A' };
  const story = mirror(seed, { ...SMALL, options });
  const [alpha, beta] = pair(story);
  write(story, 100);
  story.cluster.pass(50_000);
  story.cluster.world.setCut(alpha.node, beta.node, true);
  const before = story.cluster.world.operations();
  story.crew.grant(30);
  story.cluster.pass(50_000);
  expect(story.cluster.world.operations() - before).toBe(30);
  expect(alpha.peer(beta).replicationState).toBe('Established');
  story.crew.expectErrors(alpha);
  return story;
}

function tellsOfLosses({ connectionState, reason }: PeerState): boolean {
  const told = reason.startsWith('the only copy left may lack writes that clients of the Primary');
  return connectionState === 'Connected' && told;
}

test(
  'a copy that lacks what was acknowledged does not serve the Primary whose disk had it',
  outside(() => {
    const story = ahead(19);
    const [alpha, beta] = pair(story);
    alpha.node.setDisk(DISK, { writeErrorRate: 1_000_000 });
    story.crew.grant(1);
    until(story, () => alpha.state?.diskState === 'Diskless');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    story.cluster.world.setCut(alpha.node, beta.node, false);
    until(story, () => [alpha.peer(beta), beta.peer(alpha)].every(tellsOfLosses));
    alpha.node.healDisk(DISK);
    compare(story);
  }),
);

test(
  'a disk that is attached again is not filled from a copy that lacks what it has',
  outside(() => {
    const story = ahead(20);
    const [alpha, beta] = pair(story);
    run(story, alpha, 'detach', () => alpha.resource.detach({ force: true }));
    story.order(alpha.command('attach', () => alpha.resource.attach()));
    until(story, () => alpha.pending.size === 0);
    story.cluster.world.setCut(alpha.node, beta.node, false);
    until(story, () => [alpha.peer(beta), beta.peer(alpha)].every(tellsOfLosses));
    compare(story);
  }),
);

test(
  'a disk that fails as soon as its detach is refused is gone',
  outside(() => {
    const story = ahead(28);
    const [alpha, beta] = pair(story);
    let refusal = '';
    alpha
      .command('detach', () => alpha.resource.detach({ force: false }))
      .catch((error: unknown) => {
        refusal = String(error);
      });
    until(story, () => alpha.state?.diskState === 'Detaching');
    // It hears of both at once: that no peer has the data, and that the disk fails.
    alpha.stall();
    story.cluster.pass(2_000_000);
    alpha.node.setDisk(DISK, { writeErrorRate: 1_000_000 });
    story.crew.grant(1);
    story.cluster.pass(50_000);
    alpha.unstall();
    until(story, () => refusal !== '');
    expect(refusal).toMatch(/no peer has the data/);
    expect(alpha.state?.diskState).toBe('Diskless');
    alpha.node.healDisk(DISK);
    cut(story, alpha, beta, false);
    compare(story);
  }),
);

test(
  'a copy whose disk fails while it is promoted is not Primary, and attached again it can be',
  outside(() => {
    const story = mirror(21, { ...SMALL, metaDisk: '/meta' });
    const [alpha, beta] = pair(story);
    write(story, 100);
    // What it has received and not written yet is written before its first client.
    beta.node.setDisk(DISK, { latencyUs: [100_000, 200_000] });
    story.crew.grant(4);
    story.cluster.pass(5000);
    story.crash(alpha, 'process');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    let refusal = '';
    beta.promote(false).catch((error: unknown) => {
      refusal = String(error);
    });
    until(story, () => beta.metadata().primaryIndicator);
    beta.node.setDisk(DISK, { writeErrorRate: 1_000_000 });
    until(story, () => refusal !== '');
    expect(refusal).toMatch(/the backing disk failed/);
    expect(beta.state).toMatchObject({ role: 'Secondary', diskState: 'Diskless' });
    beta.node.healDisk(DISK);
    // What the disk still has to answer is waited for.
    story.cluster.pass(300_000);
    run(story, beta, 'attach', () => beta.resource.attach());
    expect(beta.metadata().primaryIndicator).toBe(false);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.boot(alpha);
    compare(story);
    expect(beta.isPrimary).toBe(true);
  }),
);
