// Primaries whose copy is behind what their clients have seen, or behind another copy: over the
// simulator, one step after the other, with everything that its checker knows.

import { DISK } from './cluster';
import type { Options } from './configuration';
import { compare } from './healing';
import type { Machine } from './machine';
import type { Plan } from './plan';
import type { Story } from './story';
import {
  SMALL,
  WRITERS,
  close,
  cut,
  cutOff,
  demote,
  mirror,
  outside,
  pair,
  run,
  standsFor,
  until,
  write,
} from './stage';

afterEach(close);

const PLAIN = { 'resource.device': 'none', 'net.timeout-ms': 500 };

/** Alpha is Primary and is filled by beta, which its clients read from. */
function filled(seed: number, options: Options = {}): Story {
  const story = mirror(seed, { ...SMALL, options: { ...PLAIN, ...options } });
  const [alpha, beta] = pair(story);
  run(story, alpha, 'detach', () => alpha.resource.detach({ force: false }));
  write(story, 100);
  alpha.node.setDisk(DISK, { latencyUs: [500, 1000], flushUs: 3000 });
  story.order(alpha.command('attach', () => alpha.resource.attach()));
  until(story, () => alpha.peer(beta).replicationState === 'SyncTarget');
  story.crew.expectErrors(alpha);
  return story;
}

/** Until somebody demotes the Primary: its clients must not see older data, or other data. */
function expectWaits(story: Story): void {
  const [alpha, beta] = pair(story);
  const waits = (): boolean =>
    [alpha.peer(beta), beta.peer(alpha)].every(({ connectionState, reason }) => {
      const told = reason.startsWith('clients of the Primary have seen data that the other copy');
      return connectionState === 'Connected' && told;
    });
  until(story, waits);
  story.cluster.pass(1_000_000);
  expect(waits()).toBe(true);
  expect(alpha.state).toMatchObject({ role: 'Primary', diskState: 'Inconsistent' });
}

test(
  'a Primary that lost its source is not filled from what another Primary wrote meanwhile',
  outside(() => {
    const story = filled(61);
    const [alpha, beta] = pair(story);
    cutOff(story, alpha, beta);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 50);
    demote(story, beta);
    cut(story, alpha, beta, false);
    expectWaits(story);
    demote(story, alpha);
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    compare(story);
  }),
);

test(
  'a Primary that lost its source is not filled from it once that was killed',
  outside(() => {
    const story = filled(62);
    const [alpha, beta] = pair(story);
    story.crash(beta, 'process');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    story.boot(beta);
    expectWaits(story);
    demote(story, alpha);
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    compare(story);
  }),
);

const FOR_ALPHA = {
  'net.after-sb-0pri': 'discard-node-beta',
  'net.after-sb-1pri': 'violently-as0p',
  'net.after-sb-2pri': 'violently-as0p',
  'net.always-asbp': 'yes',
};

test(
  'no policy overwrites a whole copy from an unfinished one',
  outside(() => {
    const story = filled(63, FOR_ALPHA);
    const [alpha, beta] = pair(story);
    cutOff(story, alpha, beta);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 50);
    cut(story, alpha, beta, false);
    const split = (): boolean =>
      standsFor('split brain', alpha, beta) && standsFor('split brain', beta, alpha);
    until(story, split);
    story.cluster.pass(1_000_000);
    expect(split()).toBe(true);
    expect(beta.state).toMatchObject({ role: 'Primary', diskState: 'UpToDate' });
    compare(story);
  }),
);

/** In sync when they parted; each is Primary, and neither has written since. */
function idlePrimaries(seed: number, options: Options): Story {
  const story = mirror(seed, { ...SMALL, options: { ...PLAIN, ...options } });
  const [alpha, beta] = pair(story);
  write(story, 50);
  cutOff(story, alpha, beta);
  run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
  for (const machine of [alpha, beta]) story.crew.leave(machine);
  expect(beta.metadata().currentUuid).toBe(alpha.metadata().currentUuid);
  cut(story, alpha, beta, false);
  return story;
}

test(
  'two Primaries are split brain, also where neither has written anything',
  outside(() => {
    const story = idlePrimaries(64, {});
    const [alpha, beta] = pair(story);
    const split = (): boolean =>
      standsFor('split brain', alpha, beta) && standsFor('split brain', beta, alpha);
    until(story, split);
    story.cluster.pass(1_000_000);
    expect(split()).toBe(true);
    expect(story.primaries).toEqual([alpha, beta]);
    compare(story);
  }),
);

test(
  'of two Primaries that have not written anything the policy makes one Secondary',
  outside(() => {
    const story = idlePrimaries(65, FOR_ALPHA);
    const [alpha, beta] = pair(story);
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    expect(story.primaries).toEqual([alpha]);
    compare(story);
  }),
);

const CONFLICTS = [
  { 'net.rr-conflict': 'violently' },
  { 'net.rr-conflict': 'call-pri-lost', 'handlers.pri-lost': '/bin/handler' },
];

test.each(CONFLICTS.map((options) => [options['net.rr-conflict'], options] as const))(
  'a Primary that is behind the other copy yields by rr-conflict = %s',
  (_name, options) =>
    outside(() => {
      const story = mirror(66, { ...SMALL, options: { ...PLAIN, ...options } });
      const [alpha, beta] = pair(story);
      cutOff(story, alpha, beta);
      write(story, 50);
      demote(story, alpha);
      run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
      story.crew.leave(beta);
      cut(story, alpha, beta, false);
      until(story, () => beta.peer(alpha).replicationState === 'Established');
      expect(story.primaries).toEqual([]);
      expect(beta.metadata().currentUuid).toBe(alpha.metadata().currentUuid);
      compare(story);
    })(),
);

/** It fails, or somebody takes it away. */
const LOSSES = {
  fails: (_story: Story, beta: Machine) => beta.node.setDisk(DISK, { writeErrorRate: 1_000_000 }),
  'is detached': (story: Story, beta: Machine) => {
    run(story, beta, 'detach', () => beta.resource.detach({ force: false }));
  },
};

test.each(Object.entries(LOSSES))(
  'a copy whose disk %s while it is filled is filled when it is back',
  (_name, lose) =>
    outside(() => {
      const story = mirror(67, SMALL);
      const [alpha, beta] = pair(story);
      cutOff(story, alpha, beta);
      write(story, 300);
      beta.node.setDisk(DISK, { latencyUs: [500, 1000] });
      cut(story, alpha, beta, false);
      until(story, () => beta.peer(alpha).replicationState === 'SyncTarget');
      lose(story, beta);
      until(story, () => beta.state?.diskState === 'Diskless');
      expect(beta.peer(alpha).replicationState).toBe('Off');
      beta.node.healDisk(DISK);
      // What the disk still has to answer is waited for.
      story.cluster.pass(100_000);
      run(story, beta, 'attach', () => beta.resource.attach());
      expect(beta.metadata().consistent).toBe(false);
      until(story, () => beta.peer(alpha).replicationState === 'Established');
      compare(story);
      expect(alpha.isPrimary).toBe(true);
    })(),
);

/** Beta in its resync, whose source is gone: its disk still writes what came last. */
function cutOffWhileFilled(seed: number, latencyUs: number, clients: Plan['clients']): Story {
  const story = mirror(seed, { ...SMALL, metaDisk: '/meta', clients });
  const [alpha, beta] = pair(story);
  write(story, 100);
  run(story, beta, 'down', () => beta.down());
  write(story, 600);
  beta.node.setDisk(DISK, { latencyUs: [latencyUs, 2 * latencyUs] });
  story.order(beta.start());
  until(story, () => beta.isUp && beta.peer(alpha).replicationState === 'SyncTarget');
  story.cluster.pass(3000);
  beta.node.healDisk(DISK);
  story.crash(alpha, 'process');
  until(story, () => beta.peer(alpha).connectionState !== 'Connected');
  return story;
}

test(
  'a copy that is promoted in the middle of its resync shows its clients nothing that comes late',
  outside(() => {
    const [writer] = WRITERS;
    const reader = { ...writer, depth: 8, readPercent: 100 };
    const story = cutOffWhileFilled(33, 200_000, [writer, reader]);
    const [, beta] = pair(story);
    run(story, beta, 'promote --force', () => beta.resource.promote({ force: true }));
    write(story, 600);
    story.cluster.pass(1_000_000);
    write(story, 600);
    expect(beta.isPrimary).toBe(true);
  }),
);

test(
  'a promotion that waits too long for the disk serves nobody later',
  outside(() => {
    const story = cutOffWhileFilled(34, 60_000_000, WRITERS);
    const [, beta] = pair(story);
    let refusal = '';
    beta.promote(true).catch((error: unknown) => (refusal = String(error)));
    story.cluster.pass(40_000_000);
    expect(refusal).toMatch(/the beginning of service took longer than 30000 ms/);
    expect(beta.state?.role).toBe('Secondary');
    expect(beta.metadata().primaryIndicator).toBe(false);
    expect(beta.state?.diskState).toBe('UpToDate');
    story.cluster.pass(100_000_000);
    run(story, beta, 'promote --force', () => beta.resource.promote({ force: true }));
    write(story, 100);
    expect(beta.isPrimary).toBe(true);
  }),
);

test(
  'a Primary that goes on without its source waits until what that had sent is written',
  outside(() => {
    const story = filled(35);
    const [alpha, beta] = pair(story);
    alpha.node.setDisk(DISK, { latencyUs: [200_000, 400_000] });
    story.cluster.pass(3000);
    alpha.node.healDisk(DISK);
    story.crash(beta, 'process');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    let refusal = '';
    alpha.promote(true).catch((error: unknown) => (refusal = String(error)));
    until(story, () => refusal !== '');
    expect(refusal).toMatch(/the disk still writes what the lost source had sent/);
    expect(alpha.state?.diskState).toBe('Inconsistent');
    story.cluster.pass(500_000);
    run(story, alpha, 'promote --force', () => alpha.resource.promote({ force: true }));
    expect(alpha.state?.diskState).toBe('UpToDate');
  }),
);
