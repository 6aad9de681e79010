// All connections are cut once at every step of connecting and resyncing: whatever was under
// way, the copies end up identical and nothing is called in sync that is not.

import type { World as WorldType } from '../../support/mirrorWorld';
import { World } from '../../support/mirrorWorld';

interface Story {
  readonly name: string;
  /** Ends with both nodes up and a connection yet to be made. */
  prepare(world: WorldType): Promise<void>;
}

async function part(world: WorldType): Promise<void> {
  world.network.cut('alpha', 'beta');
  const lost = (): boolean =>
    world.node('alpha').peer('beta').connectionState !== 'Connected' &&
    world.node('beta').peer('alpha').connectionState !== 'Connected';
  await world.reach(lost);
}

const stories: Story[] = [
  {
    name: 'first sync',
    async prepare(world) {
      await world.up('alpha');
      await world.do(world.node('alpha').resource.promote({ force: true }));
      world.node('alpha').device.write(1, 'one');
      await world.up('beta');
    },
  },
  {
    name: 'return of a Secondary',
    async prepare(world) {
      await world.upInSync();
      await part(world);
      world.node('alpha').device.write(2, 'two');
      world.network.heal('alpha', 'beta');
    },
  },
  {
    name: 'return without a write',
    async prepare(world) {
      await world.upInSync();
      await part(world);
      world.network.heal('alpha', 'beta');
    },
  },
  {
    name: 'return of a crashed Primary',
    async prepare(world) {
      await world.upInSync();
      world.node('alpha').device.write(3, 'three');
      world.node('alpha').crash();
      await world.reach(() => world.node('beta').peer('alpha').connectionState !== 'Connected');
      await world.do(world.node('beta').resource.promote({ force: false }));
      world.node('beta').device.write(4, 'four');
      await world.up('alpha');
    },
  },
  {
    name: 'discarded data',
    async prepare(world) {
      await world.upInSync();
      await part(world);
      await world.do(world.node('beta').resource.promote({ force: false }));
      world.node('alpha').device.write(1, 'alpha');
      world.node('beta').device.write(2, 'beta');
      world.network.heal('alpha', 'beta');
      await world.reach(() => world.node('beta').standsAlone('alpha'));
      await world.reach(() => world.node('alpha').standsAlone('beta'));
      await world.do(world.node('beta').resource.demote());
      await world.do(world.node('beta').resource.connect({ discardMyData: true }));
    },
  },
];

async function settle(world: WorldType): Promise<void> {
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  await world.reach(() => alpha.sees('beta') && beta.sees('alpha'));
  expect(beta.contents()).toEqual(alpha.contents());
  expect(world.violations).toEqual([]);
}

test.each(stories)('$name, cut at every step', async (story) => {
  let steps = 1;
  for (let at = 1; at <= steps; at += 1) {
    const world = World.create(['alpha', 'beta'], at, 6);
    await story.prepare(world);
    const before = world.network.steps;
    world.network.cutAt = before + at;
    await settle(world);
    if (at === 1) steps = Math.min(60, world.network.steps - before);
  }
  expect(steps).toBeGreaterThan(5);
});

test.each(stories)('$name, a write after each cut', async (story) => {
  for (let at = 1; at <= 30; at += 3) {
    const world = World.create(['alpha', 'beta'], at, 6);
    await story.prepare(world);
    const limit = world.network.steps + at;
    world.network.cutAt = limit;
    await world.clock.until(() => world.network.steps >= limit, 5000);
    const primary = ['alpha', 'beta'].find((name) => world.node(name).device.serving);
    world.node(primary ?? 'alpha').device.write(5, `at ${at}`);
    await world.clock.pass(5);
    await settle(world);
  }
});
