// As scenarios.test.ts, with three nodes: what two of them do while the third is away or apart.

import { compare, heal } from './healing';
import type { Machine } from './machine';
import { THREE, close, cut, demote, mirror, outside, pair, run, trio, until, write } from './stage';
import type { Story } from './story';

afterEach(close);

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
  'a Secondary that a Primary feeds takes nothing from another Primary',
  outside(() => {
    const story = mirror(6, THREE);
    const [alpha, beta, gamma] = trio(story);
    for (const other of [alpha, gamma]) cut(story, beta, other, true);
    const lost = (other: Machine): boolean => beta.peer(other).connectionState !== 'Connected';
    until(story, () => lost(alpha) && lost(gamma));
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    story.crew.leave(beta);
    cut(story, beta, gamma, false);
    until(story, () => gamma.peer(beta).connectionState === 'Connected');
    expect(gamma.peer(beta).replicationState).toBe('Off');
    expect(gamma.peer(beta).reason).toMatch(/another node is Primary/);
    expect(gamma.peer(alpha).replicationState).toBe('Established');
    write(story, 100);
    run(story, beta, 'demote', () => beta.resource.demote());
    cut(story, beta, alpha, false);
    compare(story);
    expect(alpha.isPrimary).toBe(true);
  }),
);

/** What lets gamma take the Primary's generation from beta: `alpha` feeds neither for a while. */
const PAUSES = {
  'promoted again': (story: Story, alpha: Machine, meanwhile: () => void) => {
    demote(story, alpha);
    meanwhile();
    run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
  },
  'connected again': (story: Story, alpha: Machine, meanwhile: () => void) => {
    const beta = story.cluster.named('beta');
    cut(story, alpha, beta, true);
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    meanwhile();
    cut(story, alpha, beta, false);
    until(story, () => alpha.peer(beta).replicationState === 'Established');
  },
};

test.each(Object.entries(PAUSES))(
  'a copy that another Secondary brought up to date is left behind by a Primary that is %s',
  (_name, pause) =>
    outside(() => {
      const story = mirror(21, THREE);
      const [alpha, beta, gamma] = trio(story);
      cut(story, alpha, gamma, true);
      until(story, () => alpha.peer(gamma).connectionState !== 'Connected');
      write(story, 50);
      const { currentUuid } = alpha.metadata();
      pause(story, alpha, () => {
        until(story, () => gamma.metadata().currentUuid === currentUuid);
        until(story, () => gamma.peer(beta).replicationState === 'Established');
      });
      write(story, 50);
      demote(story, alpha);
      cut(story, beta, gamma, true);
      until(story, () => gamma.peer(beta).connectionState !== 'Connected');
      cut(story, beta, gamma, false);
      until(story, () => gamma.peer(beta).connectionState === 'Connected');
      expect(beta.metadata().currentUuid).not.toBe(currentUuid);
      cut(story, alpha, gamma, false);
      compare(story);
    })(),
);

test(
  'a Secondary that is filled from a third node is no mirror of the second any more',
  outside(() => {
    const story = mirror(22, THREE);
    const [alpha, beta, gamma] = trio(story);
    const parted = (other: Machine): boolean => alpha.peer(other).connectionState !== 'Connected';
    for (const other of [beta, gamma]) cut(story, alpha, other, true);
    until(story, () => parted(beta) && parted(gamma));
    write(story, 50);
    demote(story, alpha);
    const { currentUuid } = alpha.metadata();
    until(story, () => beta.peer(gamma).replicationState === 'Established');
    expect(beta.metadata().currentUuid).not.toBe(currentUuid);
    cut(story, alpha, gamma, false);
    until(story, () => beta.metadata().currentUuid === currentUuid);
    expect(parted(beta)).toBe(true);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    cut(story, alpha, beta, false);
    compare(story);
  }),
);

test(
  'a copy that was brought up to date knows the generations it was spared',
  outside(() => {
    const story = mirror(13, THREE);
    const [alpha, beta, gamma] = trio(story);
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

test(
  'an unfinished copy is not overwritten from an older one that nobody has ordered',
  outside(() => {
    const story = mirror(14, THREE);
    const [alpha, beta, gamma] = trio(story);
    story.crash(gamma, 'power');
    until(story, () => alpha.peer(gamma).connectionState !== 'Connected');
    write(story, 300);
    story.crash(beta, 'power');
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    write(story, 100);
    story.boot(beta);
    until(story, () => beta.isUp && beta.peer(alpha).replicationState === 'SyncTarget');
    story.crash(alpha, 'power');
    until(story, () => beta.peer(alpha).connectionState !== 'Connected');
    story.boot(gamma);
    const decided = (): boolean => {
      const { connectionState, reason } = beta.peer(gamma);
      return connectionState === 'Connected' && reason !== '';
    };
    until(story, () => gamma.isUp && (decided() || beta.peer(gamma).replicationState !== 'Off'));
    expect(beta.peer(gamma).replicationState).toBe('Off');
    expect(beta.peer(gamma).reason).toMatch(/Inconsistent/);
    compare(story);
  }),
);
