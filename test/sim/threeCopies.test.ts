// Three copies of which the administrator has given one up for an older one, and unfinished copies
// whose source is gone: over the simulator, with everything that its checker knows.

import type { MirrorError } from '../../src/model/errors';
import { PeerConnection } from '../../src/resource/peerConnection';
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

afterEach(() => {
  jest.restoreAllMocks();
  close();
});

function waitsFor(story: Story, one: Machine, two: Machine, reason: RegExp): void {
  const waits = (machine: Machine, other: Machine): boolean => {
    const peer = machine.peer(other);
    return peer.connectionState === 'Connected' && reason.test(peer.reason);
  };
  until(story, () => waits(one, two) && waits(two, one));
  story.cluster.pass(500_000);
  expect([one.peer(two).replicationState, two.peer(one).replicationState]).toEqual(['Off', 'Off']);
}

/** Both are filled by alpha when that loses its power; `older`: beta was cut off before gamma. */
function unfinished(seed: number, older: boolean): Story {
  const story = mirror(seed, THREE);
  const [alpha, beta, gamma] = trio(story);
  cut(story, beta, gamma, true);
  cutOff(story, alpha, beta);
  if (older) write(story, 50);
  cutOff(story, alpha, gamma);
  write(story, 300);
  for (const one of [beta, gamma]) {
    one.node.setDisk(DISK, { latencyUs: [40_000, 60_000] });
    cut(story, alpha, one, false);
  }
  const isFilled = (one: Machine): boolean => one.peer(alpha).replicationState === 'SyncTarget';
  until(story, () => isFilled(beta) && isFilled(gamma));
  story.crash(alpha, 'power');
  until(story, () => [beta, gamma].every((one) => one.peer(alpha).role === 'Unknown'));
  cut(story, beta, gamma, false);
  return story;
}

test.each([false, true])(
  'two unfinished copies wait for one that is whole (one is older: %s)',
  (older) =>
    outside(() => {
      const story = unfinished(71, older);
      const [, beta, gamma] = trio(story);
      waitsFor(story, beta, gamma, /^neither copy is UpToDate/);
      expect([beta, gamma].map((one) => one.state?.diskState)).toEqual([
        'Inconsistent',
        'Inconsistent',
      ]);
      compare(story);
    })(),
);

const resyncFull = (machine: Machine) => (): Promise<void> =>
  machine.command('resync --full', () => machine.resource.resync({ full: true }));

test.each([false, true])(
  'a copy that was given up for an older one is filled by the Primary (unfinished: %s)',
  (cutShort) =>
    outside(() => {
      const story = mirror(72, THREE);
      const [alpha, beta, gamma] = trio(story);
      cutOff(story, beta, gamma);
      cutOff(story, alpha, beta);
      write(story, 100);
      cutOff(story, alpha, gamma);
      run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
      story.crew.leave(beta);
      cut(story, beta, gamma, false);
      until(story, () => standsFor('split brain', gamma, beta));
      if (cutShort) gamma.node.setDisk(DISK, { latencyUs: [5000, 10_000] });
      giveUp(story, gamma, resyncFull(gamma));
      const state = cutShort ? 'SyncTarget' : 'Established';
      until(story, () => gamma.peer(beta).replicationState === state);
      demote(story, beta);
      cutOff(story, beta, gamma);
      gamma.node.healDisk(DISK);
      cut(story, alpha, beta, false);
      until(story, () => alpha.peer(beta).replicationState === 'Established');
      expect(beta.metadata().currentUuid).toBe(alpha.metadata().currentUuid);
      cut(story, alpha, gamma, false);
      until(story, () => gamma.peer(alpha).replicationState === 'Established');
      compare(story);
      expect(alpha.isPrimary).toBe(true);
    })(),
);

test(
  'a copy that another Primary began to fill gets back what that has overwritten',
  outside(() => {
    const story = mirror(74, THREE);
    const [alpha, beta, gamma] = trio(story);
    cutOff(story, beta, gamma);
    cutOff(story, alpha, beta);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.crew.leave(alpha);
    write(story, 200);
    story.crew.leave(beta);
    cutOff(story, alpha, gamma);
    gamma.node.setDisk(DISK, { latencyUs: [60_000, 100_000] });
    cut(story, beta, gamma, false);
    until(story, () => gamma.peer(beta).replicationState === 'SyncTarget');
    story.cluster.pass(100_000);
    story.cluster.world.resetConnections(beta.node, gamma.node);
    cutOff(story, beta, gamma);
    gamma.node.healDisk(DISK);
    expect(gamma.state?.diskState).toBe('Inconsistent');
    cut(story, alpha, gamma, false);
    until(story, () => alpha.peer(gamma).replicationState === 'Established');
    const { model } = story.cluster.world;
    expect(model.compareCopies(alpha.node, DISK, gamma.node, DISK)).toBe('');
  }),
);

test(
  'a copy that an older one brought back gets again what the Primary had sent it before',
  outside(() => {
    const story = mirror(75, THREE);
    const [alpha, beta, gamma] = trio(story);
    cutOff(story, beta, gamma);
    cutOff(story, alpha, gamma);
    cutOff(story, alpha, beta);
    write(story, 200);
    beta.node.setDisk(DISK, { latencyUs: [5000, 400_000] });
    const missed = alpha.outOfSyncBytes(beta);
    cut(story, alpha, beta, false);
    until(story, () => alpha.outOfSyncBytes(beta) < missed);
    story.cluster.world.resetConnections(alpha.node, beta.node);
    cutOff(story, alpha, beta);
    beta.node.healDisk(DISK);
    expect(beta.state?.diskState).toBe('Inconsistent');
    expect(alpha.outOfSyncBytes(beta)).toBeGreaterThan(0);
    cut(story, beta, gamma, false);
    until(story, () => beta.peer(gamma).replicationState === 'Established');
    expect(beta.metadata().currentUuid).toBe(gamma.metadata().currentUuid);
    cut(story, alpha, beta, false);
    until(story, () => alpha.peer(beta).replicationState === 'Established');
    const { model } = story.cluster.world;
    expect(model.compareCopies(alpha.node, DISK, beta.node, DISK)).toBe('');
    cut(story, alpha, gamma, false);
    compare(story);
  }),
);

test.each(['resynced', 'written'])(
  'a copy that was given up for one node and then for another has nothing of the first (%s)',
  (how) =>
    outside(() => {
      const story = mirror(76, THREE);
      const [alpha, beta, gamma] = trio(story);
      cutOff(story, alpha, beta);
      cutOff(story, alpha, gamma);
      cutOff(story, beta, gamma);
      write(story, 20);
      demote(story, alpha);
      for (const one of [gamma, beta]) {
        run(story, one, 'promote', () => one.resource.promote({ force: false }));
        write(story, one === beta || how === 'resynced' ? 100 : 10);
        cut(story, alpha, one, false);
        until(story, () => standsFor('split brain', alpha, one));
        giveUp(story, alpha, () => discard(alpha));
        run(story, one, 'connect', () => one.resource.connect({ discardMyData: false }));
        until(story, () => alpha.peer(one).replicationState === 'Established');
        if (one === gamma && how === 'written') write(story, 100);
        story.crew.leave(one);
        story.cluster.pass(100_000);
        const { model } = story.cluster.world;
        expect(model.compareCopies(one.node, DISK, alpha.node, DISK)).toBe('');
        if (one === gamma) cutOff(story, alpha, one);
      }
    })(),
);

/** Alpha has gone on alone, and so have beta and gamma; all are Secondary. */
function partedFromAlpha(seed: number): [Story, Machine, Machine, Machine] {
  const story = mirror(seed, THREE);
  const [alpha, beta, gamma] = trio(story);
  cutOff(story, alpha, beta);
  cutOff(story, alpha, gamma);
  write(story, 50);
  demote(story, alpha);
  until(story, () => beta.peer(gamma).replicationState === 'Established');
  run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
  write(story, 50);
  demote(story, beta);
  cut(story, alpha, gamma, false);
  until(story, () => standsFor('split brain', alpha, gamma));
  until(story, () => standsFor('split brain', gamma, alpha));
  cut(story, alpha, gamma, true);
  return [story, alpha, beta, gamma];
}

test(
  'of two copies that were each given up for the other neither is',
  outside(() => {
    const [story, alpha, beta, gamma] = partedFromAlpha(75);
    cutOff(story, beta, gamma);
    const request = { full: true, from: alpha.place.name };
    // As versions did before a copy that is fed by another forgot the order.
    jest.spyOn(PeerConnection.prototype, 'forgetRequests').mockReturnValue(undefined);
    giveUp(story, gamma, () =>
      gamma.command('resync --full --from alpha', () => gamma.resource.resync(request)),
    );
    until(story, () => gamma.state?.diskState === 'Inconsistent');
    // Beta's copy makes it whole again.
    cut(story, beta, gamma, false);
    until(story, () => gamma.state?.diskState === 'UpToDate');
    giveUp(story, alpha, () => discard(alpha));
    const split = (): boolean =>
      standsFor('split brain', alpha, gamma) && standsFor('split brain', gamma, alpha);
    const { branches } = story.checker;
    const before = [alpha, gamma].map((one) => branches.copy(one).branch);
    cut(story, alpha, gamma, false);
    until(story, split);
    story.cluster.pass(1_000_000);
    expect(split()).toBe(true);
    expect([alpha, gamma].map((one) => branches.copy(one).branch)).toEqual(before);
    compare(story);
  }),
);

test(
  'a copy that was given up for one the Primary went on without is filled by the Primary',
  outside(() => {
    const story = mirror(76, THREE);
    const [alpha, beta, gamma] = trio(story);
    cutOff(story, beta, gamma);
    cutOff(story, alpha, gamma);
    write(story, 50);
    cutOff(story, alpha, beta);
    run(story, gamma, 'promote', () => gamma.resource.promote({ force: false }));
    story.crew.leave(gamma);
    cut(story, beta, gamma, false);
    until(story, () => standsFor('split brain', beta, gamma));
    giveUp(story, beta, resyncFull(beta));
    until(story, () => beta.peer(gamma).replicationState === 'Established');
    expect(beta.metadata().currentUuid).not.toBe(alpha.metadata().currentUuid);
    demote(story, gamma);
    cutOff(story, beta, gamma);
    cut(story, alpha, beta, false);
    until(story, () => beta.peer(alpha).replicationState === 'Established');
    expect(beta.metadata().currentUuid).toBe(alpha.metadata().currentUuid);
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

/** Beta is lost with what it and gamma have acknowledged, and alpha comes back: gamma keeps it. */
function keptByGammaAlone(story: Story, alpha: Machine, beta: Machine, gamma: Machine): void {
  write(story, 50);
  story.crash(beta, 'power');
  until(story, () => gamma.peer(beta).connectionState !== 'Connected');
  cut(story, alpha, gamma, false);
  story.order(alpha.command('connect', () => alpha.resource.connect({ discardMyData: false })));
  // The checker fails where gamma, which alone has those writes, is overwritten.
  until(story, () => standsFor('split brain', gamma, alpha));
  compare(story);
}

const ORDERS = {
  'connect --discard-my-data': (_story: Story, gamma: Machine) => discard(gamma),
  'resync --full': (story: Story, gamma: Machine) => {
    // Beta's copy makes it whole again.
    cutOff(story, story.cluster.named('beta'), gamma);
    const request = { full: true, from: story.cluster.named('alpha').place.name };
    return gamma.command('resync --full', () => gamma.resource.resync(request));
  },
};

test.each(Object.entries(ORDERS))(
  'an order to give up a copy does not reach what a Primary writes to it later: %s',
  (_name, order) =>
    outside(() => {
      const [story, alpha, beta, gamma] = partedFromAlpha(77);
      giveUp(story, gamma, () => order(story, gamma));
      until(story, () => gamma.pending.size === 0);
      cut(story, beta, gamma, false);
      const isMirror = (): boolean => gamma.peer(beta).replicationState === 'Established';
      until(story, () => isMirror() && gamma.state?.diskState === 'UpToDate');
      run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
      keptByGammaAlone(story, alpha, beta, gamma);
    })(),
);

test(
  'an order that was given while a Primary was away does not reach what that writes later',
  outside(() => {
    const [story, alpha, beta, gamma] = partedFromAlpha(78);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    cutOff(story, beta, gamma);
    giveUp(story, gamma, () => discard(gamma));
    until(story, () => gamma.pending.size === 0);
    cut(story, beta, gamma, false);
    until(story, () => gamma.peer(beta).replicationState === 'Established');
    keptByGammaAlone(story, alpha, beta, gamma);
  }),
);

test(
  'a copy that a Primary writes to is given up for no other',
  outside(() => {
    const [story, alpha, beta, gamma] = partedFromAlpha(79);
    cut(story, alpha, gamma, false);
    story.order(gamma.command('connect', () => gamma.resource.connect({ discardMyData: false })));
    until(story, () => standsFor('split brain', gamma, alpha));
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    until(story, () => gamma.peer(beta).role === 'Primary');
    const request = { full: true, from: alpha.place.name };
    const answers: string[] = [];
    const hear = (error: unknown): number => answers.push((error as MirrorError).code);
    gamma.resource.connect({ discardMyData: true }).then(() => answers.push('done'), hear);
    gamma.resource.resync(request).then(() => answers.push('begun'), hear);
    until(story, () => answers.length === 2);
    expect(answers).toEqual(['PeerIsPrimary', 'PeerIsPrimary']);
    expect(gamma.state?.diskState).toBe('UpToDate');
  }),
);

test(
  'a copy that a Secondary fills is given up for no other',
  outside(() => {
    const [story, , beta, gamma] = partedFromAlpha(80);
    cutOff(story, beta, gamma);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 50);
    demote(story, beta);
    gamma.node.setDisk(DISK, { latencyUs: [20_000, 30_000] });
    cut(story, beta, gamma, false);
    until(story, () => gamma.peer(beta).replicationState === 'SyncTarget');
    const answers: string[] = [];
    gamma.resource
      .connect({ discardMyData: true })
      .catch((error: unknown) => answers.push((error as MirrorError).code));
    until(story, () => answers.length === 1);
    expect(answers).toEqual(['ResyncRunning']);
    gamma.node.healDisk(DISK);
    until(story, () => gamma.state?.diskState === 'UpToDate');
  }),
);

test.each([0, 1000, 2000, 3000])(
  'a mirror that a third was about to fill when its peer was promoted is whole again (%s us)',
  (delayUs) =>
    outside(() => {
      const story = mirror(81, THREE);
      const [alpha, beta, gamma] = trio(story);
      cutOff(story, alpha, beta);
      cutOff(story, alpha, gamma);
      write(story, 50);
      demote(story, alpha);
      until(story, () => beta.peer(gamma).replicationState === 'Established');
      const peer = alpha.place.name;
      run(story, gamma, 'disconnect', () => gamma.resource.disconnect({ peer }));
      run(story, alpha, 'disconnect', () => alpha.resource.disconnect({}));
      story.crew.leave(beta);
      beta.node.setDisk(DISK, { latencyUs: [1000, 2000] });
      cut(story, alpha, beta, false);
      story.cluster.pass(2_000_000);
      story.order(alpha.command('connect', () => alpha.resource.connect({ discardMyData: false })));
      story.cluster.pass(delayUs);
      run(story, gamma, 'promote', () => gamma.resource.promote({ force: false }));
      expect(beta.state?.diskState).toBe('Inconsistent');
      until(story, () => beta.state?.diskState === 'UpToDate');
      until(story, () => gamma.peer(beta).replicationState === 'Established');
      beta.node.healDisk(DISK);
      // The checker fails where beta, which alone has what is written now, is overwritten.
      write(story, 50);
      story.crash(gamma, 'power');
      until(story, () => standsFor('split brain', alpha, beta));
      run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    })(),
);
