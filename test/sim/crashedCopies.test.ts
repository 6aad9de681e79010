// Copies that lost their power, and one that kept what was acknowledged: what a copy may lack its
// target lacks too, until both have met the third. Over the simulator.

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
  trio,
  until,
  write,
} from './stage';

afterEach(close);

function isFilled(copy: Machine, source: Machine): boolean {
  return copy.peer(source).replicationState === 'Established';
}

/** The administrator said that there is a newer one: he decides. */
function isWaiting(copy: Machine, source: Machine): boolean {
  return copy.peer(source).reason.startsWith('the copy to resync from is Outdated');
}

test.each([false, true])(
  'two copies that lost power stand behind the one that kept all (declared Outdated: %s)',
  (outdated) =>
    outside(() => {
      const story = mirror(91, THREE);
      const [alpha, beta, gamma] = trio(story);
      write(story, 300);
      for (const one of [beta, gamma]) story.crash(one, 'power');
      demote(story, alpha);
      if (outdated) run(story, alpha, 'outdate', () => alpha.resource.outdate());
      for (const one of [beta, gamma]) {
        cut(story, alpha, one, true);
        story.boot(one);
      }
      until(story, () => beta.peer(gamma).replicationState === 'Established');
      expect([beta, gamma].map((one) => one.metadata().crashedMachine)).toEqual([true, true]);
      for (const one of [beta, gamma]) {
        cut(story, alpha, one, false);
        until(story, () => (outdated ? isWaiting(one, alpha) : isFilled(one, alpha)));
      }
      compare(story);
      expect([alpha, beta, gamma].map((one) => one.metadata().crashed)).toEqual([
        false,
        false,
        false,
      ]);
    })(),
);

test('what a whole copy brings is out of sync with a crashed one that filled before', () =>
  outside(() => {
    const story = mirror(93, THREE);
    const [alpha, beta, gamma] = trio(story);
    write(story, 100);
    run(story, beta, 'down', () => beta.down());
    write(story, 300);
    story.crash(gamma, 'power');
    demote(story, alpha);
    for (const one of [beta, gamma]) cut(story, alpha, one, true);
    story.boot(gamma);
    story.order(beta.start());
    until(story, () => beta.isUp && isFilled(beta, gamma));
    cut(story, beta, gamma, true);
    until(story, () => !isFilled(beta, gamma));
    cut(story, alpha, beta, false);
    until(story, () => isFilled(beta, alpha));
    cutOff(story, alpha, beta);
    cut(story, beta, gamma, false);
    story.order(beta.promote(false));
    until(story, () => beta.isPrimary && isFilled(gamma, beta) && isFilled(beta, gamma));
    const { model } = story.cluster.world;
    expect(model.compareCopies(beta.node, DISK, gamma.node, DISK)).toBe('');
  })());

test.each([false, true])(
  'a copy filled by one that lost power stands behind one that kept all (Outdated: %s)',
  (outdated) =>
    outside(() => {
      const story = mirror(92, THREE);
      const [alpha, beta, gamma] = trio(story);
      write(story, 100);
      run(story, beta, 'down', () => beta.down());
      write(story, 300);
      story.crash(gamma, 'power');
      demote(story, alpha);
      if (outdated) run(story, alpha, 'outdate', () => alpha.resource.outdate());
      for (const one of [beta, gamma]) cut(story, alpha, one, true);
      story.boot(gamma);
      story.order(beta.start());
      until(story, () => beta.isUp && beta.peer(gamma).replicationState === 'Established');
      expect(beta.metadata().crashedMachine).toBe(true);
      cut(story, alpha, beta, false);
      until(story, () => (outdated ? isWaiting(beta, alpha) : isFilled(beta, alpha)));
      cut(story, alpha, gamma, false);
      compare(story);
    })(),
);
