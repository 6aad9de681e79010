// Three nodes: one Primary, two Secondaries, links that drop.

import type { NodeName } from '../../../src/model/states';
import { World } from '../../support/mirrorWorld';

const names = ['alpha', 'beta', 'gamma'];
let world: World;
beforeEach(() => {
  world = World.create(names);
});
afterEach(() => {
  expect(world.violations).toEqual([]);
});

const node = (name: string): ReturnType<World['node']> => world.node(name);

function mirrored(primary: string): boolean {
  return world.others(primary).every((other) => node(primary).sees(other));
}

test('the Primary feeds both; the Secondaries wait for it', async () => {
  await world.upInSync();
  node('alpha').device.write(1, 'one');
  expect(node('beta').contents()).toEqual([[1, 'one']]);
  expect(node('gamma').contents()).toEqual([[1, 'one']]);
  await world.clock.pass(5000);
  expect(node('beta').peer('gamma')).toMatchObject({
    connectionState: 'Connected',
    replicationState: 'Off',
    reason: 'waits for the Primary',
  });
  expect(mirrored('alpha')).toBe(true);
});

test('a Secondary drops and comes back, the other goes on', async () => {
  await world.upInSync();
  world.network.cut('alpha', 'gamma');
  await world.reach(() => node('alpha').peer('gamma').connectionState !== 'Connected');
  node('alpha').device.write(2, 'two');
  expect(node('beta').contents()).toEqual([[2, 'two']]);
  expect(node('gamma').contents()).toEqual([]);
  await world.clock.pass(3000);
  world.network.heal('alpha', 'gamma');
  await world.reach(() => mirrored('alpha'));
  expect(node('gamma').contents()).toEqual([[2, 'two']]);
});

test('the Primary dies, a Secondary takes over and feeds the other', async () => {
  await world.upInSync();
  node('alpha').device.write(1, 'one');
  node('alpha').crash();
  await world.reach(() => node('gamma').peer('alpha').connectionState !== 'Connected');
  await world.clock.pass(5000);
  expect(node('gamma').resource.status()).toMatchObject({ mayPromote: true });
  await world.do(node('gamma').resource.promote({ force: false }));
  node('gamma').device.write(2, 'two');
  await world.reach(() => node('gamma').sees('beta'));
  await world.up('alpha');
  await world.reach(() => mirrored('gamma'));
  expect(node('alpha').contents()).toEqual(node('gamma').contents());
  expect(node('beta').contents()).toEqual(node('gamma').contents());
});

test('all crash: the copies are identical again after a promotion', async () => {
  await world.upInSync();
  node('alpha').device.write(1, 'one');
  for (const name of names) node(name).crash();
  await world.up();
  await world.clock.pass(5000);
  const ready = names.find((name) => node(name).resource.status().mayPromote) ?? '';
  await world.do(node(ready).resource.promote({ force: false }));
  await world.reach(() => mirrored(ready));
  for (const name of names) expect(node(name).contents()).toEqual([[1, 'one']]);
});

test('promotion asks every connected peer', async () => {
  await world.upInSync();
  await expect(world.do(node('gamma').resource.promote({ force: false }))).rejects.toMatchObject({
    code: 'PeerIsPrimary',
  });
  world.network.cut('alpha', 'gamma');
  await world.reach(() => node('gamma').peer('alpha').connectionState !== 'Connected');
  await expect(world.do(node('gamma').resource.promote({ force: false }))).rejects.toThrow(
    'alpha is Primary for r0: demote it there first',
  );
  expect(node('gamma').disk.meta.primaryIndicator).toBe(false);
});

test('three promotions at once: one wins', async () => {
  await world.upInSync();
  await world.do(node('alpha').resource.demote());
  await world.clock.pass(2000);
  const promotions = names.map((name) => node(name).resource.promote({ force: false }));
  await world.do(Promise.allSettled(promotions));
  const primaries = names.filter((name) => node(name).resource.status().role === 'Primary');
  expect(primaries).toEqual(['alpha']);
  await world.reach(() => mirrored('alpha'));
});

test('a Secondary begins no generation of its own beside the Primary', async () => {
  await world.upInSync();
  await world.reach(() => node('beta').peer('gamma').connectionState === 'Connected');
  const request = { full: true, to: 'gamma' as NodeName };
  await expect(world.do(node('beta').resource.resync(request))).rejects.toMatchObject({
    code: 'PeerIsPrimary',
    message: 'alpha is Primary for r0: run resync r0 --full --to gamma there',
  });
  await world.clock.pass(2000);
  expect(mirrored('alpha')).toBe(true);
});

test('split brain with one leaves the other connection alone', async () => {
  await world.upInSync();
  world.network.cut('alpha', 'gamma');
  world.network.cut('beta', 'gamma');
  await world.reach(() => node('gamma').peer('beta').connectionState !== 'Connected');
  await world.reach(() => node('gamma').peer('alpha').connectionState !== 'Connected');
  await world.do(node('gamma').resource.promote({ force: false }));
  node('gamma').device.write(3, 'gamma');
  node('alpha').device.write(4, 'alpha');
  world.network.heal('alpha', 'gamma');
  world.network.heal('beta', 'gamma');
  await world.reach(() => node('alpha').standsAlone('gamma'));
  await world.reach(() => node('gamma').standsAlone('alpha'));
  expect(node('alpha').sees('beta')).toBe(true);
  await world.do(node('gamma').resource.demote());
  await world.do(
    node('gamma').resource.connect({ peer: 'alpha' as NodeName, discardMyData: true }),
  );
  await world.reach(() => mirrored('alpha'));
  expect(node('gamma').contents()).toEqual([[4, 'alpha']]);
});

test.each(Array.from({ length: 10 }, (_, index) => index + 1))(
  'links that drop at random, seed %d',
  async (seed) => {
    world = World.create(names, seed, 12);
    await world.upInSync();
    const { random } = world;
    const pick = (count: number): number => Math.floor(random.fraction() * count);
    const pairs: [string, string][] = [
      ['alpha', 'beta'],
      ['alpha', 'gamma'],
      ['beta', 'gamma'],
    ];
    for (let step = 0; step < 25; step += 1) {
      const [a, b] = pairs[pick(3)] ?? ['alpha', 'beta'];
      if (pick(2) === 0) world.network.cut(a, b);
      else world.network.heal(a, b);
      node('alpha').device.write(pick(12), `${seed}/${step}`);
      await world.clock.pass(pick(300));
    }
    for (const [a, b] of pairs) world.network.heal(a, b);
    await world.reach(() => mirrored('alpha'));
    expect(node('beta').contents()).toEqual(node('alpha').contents());
    expect(node('gamma').contents()).toEqual(node('alpha').contents());
  },
);

test('an unfinished full resync from one peer is no order to go back to it', async () => {
  const [alpha, beta, gamma] = [world.node('alpha'), world.node('beta'), world.node('gamma')];
  const resyncs = (source: string) => (): boolean =>
    beta.peer(source).replicationState === 'SyncTarget';
  await world.up('alpha', 'gamma');
  await world.do(alpha.resource.promote({ force: true }));
  await world.reach(() => alpha.sees('gamma') && gamma.sees('alpha'));
  // beta begins with a full resync from gamma and ends with one from alpha.
  world.network.cut('alpha', 'beta');
  world.network.cut('alpha', 'gamma');
  await world.reach(() => gamma.peer('alpha').connectionState !== 'Connected');
  await world.up('beta');
  await world.reach(resyncs('gamma'));
  world.network.cut('beta', 'gamma');
  world.network.heal('alpha', 'beta');
  await world.reach(() => alpha.sees('beta') && beta.sees('alpha'));
  alpha.device.write(1, 'acknowledged');
  await world.reach(() => beta.contents().length === 1);
  // Again a target, it is newer than gamma, and unfinished.
  world.network.cut('alpha', 'beta');
  await world.reach(() => beta.peer('alpha').connectionState !== 'Connected');
  alpha.device.write(2, 'missed');
  world.network.heal('alpha', 'beta');
  await world.reach(resyncs('alpha'));
  world.network.cut('alpha', 'beta');
  await world.reach(() => beta.peer('alpha').connectionState !== 'Connected');
  world.network.heal('beta', 'gamma');
  await world.reach(() => beta.peer('gamma').connectionState === 'Connected');
  expect(beta.peer('gamma').reason).toMatch(/^the newer copy is Inconsistent/);
  world.network.heal('alpha', 'beta');
  world.network.heal('alpha', 'gamma');
  const all = [alpha, beta, gamma];
  await world.reach(() => [beta, gamma].every((one) => one.sees('alpha')));
  expect(all.map((one) => one.contents())).toEqual(all.map(() => alpha.contents()));
});

/** From now on its first order to declare the copy Inconsistent takes so long; others follow it. */
function slowToGiveUp(name: string, ms: number): { begun: boolean } {
  const { device } = node(name);
  const update = device.updateMetadata.bind(device);
  const order = { begun: false };
  let last: Promise<unknown> = Promise.resolve();
  device.updateMetadata = (patch) => {
    const slow = patch.consistent === false && !order.begun;
    order.begun ||= slow;
    const turn = new Promise<void>((resolve) => world.clock.after(slow ? ms : 0, resolve));
    const done = Promise.all([last, turn]).then(() => update(patch));
    last = done.catch(() => undefined);
    return done;
  };
  return order;
}

/** A handshake with alpha is about to declare the copy of beta Inconsistent. */
async function untilGivingUp(): Promise<void> {
  await world.upInSync();
  for (const other of ['alpha', 'gamma']) world.network.cut('beta', other);
  await world.reach(() => node('alpha').peer('beta').connectionState !== 'Connected');
  node('alpha').device.write(1, 'newer');
  await world.do(node('alpha').resource.demote());
  const order = slowToGiveUp('beta', 3000);
  world.network.heal('alpha', 'beta');
  await world.reach(() => order.begun);
}

async function expectNoPromotion(): Promise<void> {
  const promotion = node('beta').resource.promote({ force: false });
  await expect(world.do(promotion)).rejects.toThrow(/is Inconsistent/);
  expect(node('beta').resource.status().role).toBe('Secondary');
}

test('a promotion sees what a handshake that it drops was writing down', async () => {
  await untilGivingUp();
  await expectNoPromotion();
});

test('a promotion sees what a handshake whose connection is gone was writing down', async () => {
  await untilGivingUp();
  await world.do(node('beta').resource.disconnect({}));
  await expectNoPromotion();
});

test('a copy that a handshake is about to declare Inconsistent is no source', async () => {
  await world.upInSync();
  const [alpha, beta] = [node('alpha'), node('beta')];
  // beta and gamma know each other's generation: nothing has to be written down of that.
  await world.do(alpha.resource.demote());
  await world.do(beta.resource.promote({ force: false }));
  await world.reach(() => mirrored('beta'));
  for (const other of ['alpha', 'beta']) world.network.cut('gamma', other);
  await world.reach(() => beta.peer('gamma').connectionState !== 'Connected');
  beta.device.write(1, 'gamma misses it');
  await world.do(beta.resource.demote());
  await world.do(alpha.resource.promote({ force: false }));
  await world.reach(() => alpha.sees('beta'));
  world.network.cut('alpha', 'beta');
  await world.reach(() => alpha.peer('beta').connectionState !== 'Connected');
  alpha.device.write(2, 'both miss it');
  await world.do(alpha.resource.demote());
  const target = slowToGiveUp('gamma', 1000);
  world.network.heal('beta', 'gamma');
  await world.reach(() => target.begun);
  const source = slowToGiveUp('beta', 3000);
  world.network.heal('alpha', 'beta');
  await world.reach(() => source.begun);
  await world.reach(() => !beta.device.metadata().consistent);
  expect(beta.resource.status().diskState).toBe('Inconsistent');
  expect(beta.peer('gamma').replicationState).toBe('Off');
  world.network.heal('alpha', 'gamma');
  await world.do(alpha.resource.promote({ force: false }));
  await world.reach(() => mirrored('alpha'));
});
