// What can happen to two daemons, and what an administrator or a cluster manager does about it.
// A node is promoted only by their rules: the other one is dead for certain, and this copy had
// everything that was acknowledged when it died.

import { TIMEOUT_MS } from './world';
import type { World } from './world';

export type Fault = (world: World) => Promise<void>;

/** From the cut to the Primary's death: well below the time after which it goes on alone. */
const ALONE_AFTER_MS = TIMEOUT_MS / 3;

export const FAULTS: Readonly<Record<string, Fault>> = {
  'Secondary killed': async (world) => {
    await world.secondary.kill9();
    await world.goOn(world.dice.between(1, 100));
    await world.secondary.start();
  },

  'Secondary killed in its resync': async (world) => {
    await world.secondary.kill9();
    await world.goOn(100);
    await world.secondary.start();
    await world.pass(world.dice.between(0, 200));
    await world.secondary.kill9();
    await world.secondary.start();
  },

  'Secondary stopped': async (world) => {
    await world.secondary.pause();
    await world.pass(world.dice.between(10, TIMEOUT_MS * 1.5));
    world.secondary.resume();
    await world.goOn();
  },

  'Primary stopped': async (world) => {
    await world.primary.pause();
    await world.pass(world.dice.between(10, TIMEOUT_MS * 1.5));
    world.primary.resume();
    await world.goOn();
  },

  'network cut': async (world) => {
    world.cut();
    await world.pass(world.dice.between(10, TIMEOUT_MS * 1.5));
    world.heal(world.dice.chance(0.5));
    await world.goOn();
  },

  'network cut one way': async (world) => {
    const { primary, secondary, cluster } = world;
    if (world.dice.chance(0.5)) cluster.cutOneWay(primary, secondary);
    else cluster.cutOneWay(secondary, primary);
    await world.pass(world.dice.between(10, TIMEOUT_MS * 1.5));
    world.heal(world.dice.chance(0.5));
    await world.goOn();
  },

  'connections reset': async (world) => {
    for (let times = world.dice.between(1, 4); times > 0; times--) {
      world.reset();
      await world.pass(world.dice.between(0, 300));
    }
    await world.goOn();
  },

  'Secondary killed in a cut': async (world) => {
    world.cut();
    await world.pass(world.dice.between(0, TIMEOUT_MS * 1.2));
    await world.secondary.kill9();
    world.heal(world.dice.chance(0.5));
    await world.secondary.start();
    await world.goOn();
  },

  'Primary killed in a cut, and promoted again': async (world) => {
    world.cut();
    await world.pass(world.dice.between(0, TIMEOUT_MS * 1.2));
    const { primary } = world;
    await world.killPrimary();
    world.heal(true);
    await primary.start();
    await world.promote(primary);
  },

  failover: async (world) => {
    await inSyncAndBusy(world);
    await failOver(world);
  },

  'failover from a Primary that hung': async (world) => {
    await inSyncAndBusy(world);
    await world.primary.pause();
    await world.pass(world.dice.between(0, TIMEOUT_MS * 1.2));
    await failOver(world);
  },

  'failover as the network is cut': async (world) => {
    await inSyncAndBusy(world);
    const cutAt = performance.now();
    world.cut();
    await world.pass(world.dice.between(0, ALONE_AFTER_MS / 2));
    const { primary, secondary } = world;
    await world.killPrimary();
    const wentOnAlone = performance.now() - cutAt > ALONE_AFTER_MS;
    if (!wentOnAlone) await world.promote(secondary);
    world.heal(true);
    await primary.start();
    if (wentOnAlone) await world.promote(primary);
  },

  'failover refused in a resync': async (world) => {
    const { primary, secondary } = world;
    await secondary.kill9();
    await world.goOn(200);
    for (const link of world.cluster.allLinks) link.bytesPerSecond = 512 * 1024;
    await secondary.start();
    await untilInconsistent(world);
    await world.killPrimary();
    const refusal = await secondary.refused('promote', 'r0');
    if (!refusal.includes('Inconsistent')) throw new Error(`refused for ${refusal}`);
    for (const link of world.cluster.allLinks) link.bytesPerSecond = Infinity;
    await primary.start();
    await world.promote(primary);
  },

  'orderly switch': async (world) => {
    await world.untilInSync();
    await world.demotePrimary();
    await world.promote(world.secondary);
  },

  'both killed': async (world) => {
    await inSyncAndBusy(world);
    const { primary, secondary } = world;
    await Promise.all([secondary.kill9(), world.killPrimary()]);
    await Promise.all([primary.start(), secondary.start()]);
    await world.untilInSync();
    await world.promote(world.dice.oneOf([primary, secondary]));
  },

  'both killed, the Secondary returns first': async (world) => {
    await inSyncAndBusy(world);
    const { primary, secondary } = world;
    await Promise.all([world.killPrimary(), secondary.kill9()]);
    await secondary.start();
    await world.promote(secondary);
    await world.goOn(world.dice.between(1, 50));
    await primary.start();
  },
};

async function inSyncAndBusy(world: World): Promise<void> {
  await world.untilInSync();
  await world.goOn(world.dice.between(5, 50));
  const seen = await world.primary.peer(world.secondary.name);
  // It may have been lost again meanwhile, on a busy machine.
  if (seen.connectionState !== 'Connected' || seen.diskState !== 'UpToDate') {
    await world.untilInSync();
  }
}

async function failOver(world: World): Promise<void> {
  const { primary, secondary } = world;
  await world.killPrimary();
  await world.promote(secondary);
  await world.goOn(world.dice.between(1, 50));
  await primary.start();
}

async function untilInconsistent(world: World): Promise<void> {
  const end = performance.now() + 60_000;
  while ((await world.secondary.status()).diskState !== 'Inconsistent') {
    if (performance.now() > end) throw new Error('the Secondary does not begin its resync');
    await world.pass(5);
  }
}
