// An order to give up a copy is about that copy alone: its twin, which was away, keeps what both
// had acknowledged until it is given up itself. Three copies, over the simulator.

import { discard, giveUp } from './administrator';
import { DISK } from './cluster';
import { compare } from './healing';
import type { Machine } from './machine';
import {
  THREE,
  close,
  cut,
  cutOff,
  demote,
  mirror,
  outside,
  run,
  standsFor,
  trio,
  until,
  write,
} from './stage';
import type { Story } from './story';

afterEach(close);

type Copies = readonly [alpha: Machine, beta: Machine, gamma: Machine];

/**
 * Alpha has gone on alone, and so has gamma, with beta as its mirror until that was killed;
 * `behind`: and further then. All are Secondary, beta is down.
 */
function twins(seed: number, behind: boolean): [Story, Copies] {
  const story = mirror(seed, THREE);
  const copies = trio(story);
  const [alpha, beta, gamma] = copies;
  cutOff(story, alpha, beta);
  cutOff(story, alpha, gamma);
  write(story, 50);
  demote(story, alpha);
  until(story, () => beta.peer(gamma).replicationState === 'Established');
  run(story, gamma, 'promote', () => gamma.resource.promote({ force: false }));
  story.crew.leave(beta);
  write(story, 50);
  if (!behind) demote(story, gamma);
  story.crash(beta, 'process');
  until(story, () => gamma.peer(beta).role === 'Unknown');
  if (behind) {
    write(story, 50);
    demote(story, gamma);
  }
  return [story, copies];
}

/** Gamma's copy is given up for alpha's; they have met. */
function order(story: Story, [alpha, , gamma]: Copies): void {
  giveUp(story, gamma, () => discard(gamma));
  until(story, () => gamma.pending.size === 0);
  cut(story, alpha, gamma, false);
}

function isSplit(one: Machine, two: Machine): boolean {
  return standsFor('split brain', one, two) && standsFor('split brain', two, one);
}

/** Whoever comes back keeps what it has from those, until it is given up itself. */
function keepsToItself(story: Story, beta: Machine, others: readonly Machine[]): void {
  const { branches } = story.checker;
  const { branch } = branches.copy(beta);
  until(story, () => others.every((other) => isSplit(beta, other)));
  story.cluster.pass(1_000_000);
  expect(others.every((other) => isSplit(beta, other))).toBe(true);
  expect(branches.copy(beta).branch).toBe(branch);
  giveUp(story, beta, () => discard(beta));
  until(story, () => others.some((other) => beta.peer(other).replicationState === 'Established'));
  compare(story);
}

test.each([
  ['away', false],
  ['which had missed the last of it', true],
])('a copy is not given up with its twin, %s', (_which, behind) =>
  outside(() => {
    const [story, copies] = twins(101, behind);
    const [alpha, beta, gamma] = copies;
    order(story, copies);
    until(story, () => gamma.peer(alpha).replicationState === 'Established');
    story.boot(beta);
    cut(story, alpha, beta, false);
    keepsToItself(story, beta, [alpha, gamma]);
  })(),
);

test.each(['alpha', 'gamma'] as const)(
  'a copy is not given up with its twin to one of both: %s',
  (name) =>
    outside(() => {
      const [story, copies] = twins(102, false);
      const [alpha, beta, gamma] = copies;
      order(story, copies);
      until(story, () => gamma.peer(alpha).replicationState === 'Established');
      cut(story, beta, gamma, name === 'alpha');
      story.boot(beta);
      cut(story, alpha, beta, name === 'gamma');
      keepsToItself(story, beta, [story.cluster.named(name)]);
    })(),
);

test(
  'a copy is not given up with its twin while that is being filled',
  outside(() => {
    const [story, copies] = twins(103, false);
    const [alpha, beta, gamma] = copies;
    gamma.node.setDisk(DISK, { latencyUs: [60_000, 100_000] });
    order(story, copies);
    until(story, () => gamma.peer(alpha).replicationState === 'SyncTarget');
    cut(story, beta, gamma, true);
    story.boot(beta);
    cut(story, alpha, beta, false);
    until(story, () => isSplit(alpha, beta));
    expect(gamma.peer(alpha).replicationState).toBe('SyncTarget');
    gamma.node.healDisk(DISK);
    until(story, () => gamma.peer(alpha).replicationState === 'Established');
    cut(story, beta, gamma, false);
    keepsToItself(story, beta, [alpha, gamma]);
  }),
);

test(
  'a copy that its twin has made whole again is not given up a second time',
  outside(() => {
    const [story, copies] = twins(104, false);
    const [alpha, beta, gamma] = copies;
    gamma.node.setDisk(DISK, { latencyUs: [60_000, 100_000] });
    order(story, copies);
    until(story, () => gamma.peer(alpha).replicationState === 'SyncTarget');
    cutOff(story, alpha, gamma);
    gamma.node.healDisk(DISK);
    expect(gamma.state?.diskState).toBe('Inconsistent');
    story.boot(beta);
    until(story, () => gamma.peer(beta).replicationState === 'Established');
    expect(gamma.state?.diskState).toBe('UpToDate');
    story.crash(beta, 'process');
    cut(story, alpha, gamma, false);
    keepsToItself(story, gamma, [alpha]);
  }),
);
