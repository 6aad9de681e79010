// A Primary whose copy is behind and loses its source, over the memory plane: it waits for a copy
// that has what its clients saw, and for nothing else but an order.

import { World } from '../../support/mirrorWorld';

let world: World;

/** Beta is Primary and SyncTarget, alpha has all the data, and they are cut apart. */
beforeEach(async () => {
  world = World.create(['alpha', 'beta'], 1, 400);
  await world.upInSync();
  await part();
  for (let block = 0; block < 300; block += 1) world.node('alpha').device.write(block, `a${block}`);
  await world.do(world.node('alpha').resource.demote());
  world.network.heal('alpha', 'beta');
  const beta = world.node('beta');
  await world.reach(() => beta.peer('alpha').replicationState === 'SyncTarget');
  await world.do(beta.resource.promote({ force: true }));
  beta.device.write(7, 'both');
  await part();
});

afterEach(() => expect(world.violations).toEqual([]));

async function part(): Promise<void> {
  world.network.cut('alpha', 'beta');
  for (const [node, other] of [
    ['alpha', 'beta'],
    ['beta', 'alpha'],
  ] as const) {
    await world.reach(() => world.node(node).peer(other).connectionState !== 'Connected');
  }
}

test('the status says whom it waits for, and what else can be done', () => {
  const status = world.node('beta').resource.status();
  expect(status).toMatchObject({ role: 'Primary', diskState: 'Inconsistent', suspended: true });
  expect(status.suspendedReason).toMatch(/^waits for alpha: .*promote r0 --force$/);
  expect(() => world.node('beta').device.write(8, 'alone')).toThrow('no copy has the data');
});

test('when the source comes back the resync goes on, and nothing has parted', async () => {
  const before = world.node('beta').device.metadata().currentUuid;
  world.network.heal('alpha', 'beta');
  const beta = world.node('beta');
  await world.reach(() => beta.peer('alpha').replicationState === 'SyncTarget');
  expect(beta.resource.status()).toMatchObject({ suspended: false, suspendedReason: '' });
  expect(beta.device.metadata().currentUuid).toBe(before);
  beta.device.write(9, 'again');
  await world.reach(() => beta.sees('alpha') && world.node('alpha').sees('beta'));
  expect(beta.contents()).toEqual(world.node('alpha').contents());
});

test('a source that went on without it has to wait until it is demoted', async () => {
  const [alpha, beta] = [world.node('alpha'), world.node('beta')];
  await world.do(alpha.resource.promote({ force: false }));
  alpha.device.write(1, 'alone');
  await world.do(alpha.resource.demote());
  world.network.heal('alpha', 'beta');
  await world.reach(() => /clients of the Primary have seen/.test(beta.peer('alpha').reason));
  expect(beta.resource.status().suspendedReason).toContain('waits for alpha');
  await world.do(beta.resource.demote());
  await world.reach(() => beta.sees('alpha') && alpha.sees('beta'));
  expect(beta.contents()).toEqual(alpha.contents());
});

test('promote --force goes on with what is here', async () => {
  const beta = world.node('beta');
  await world.do(beta.resource.promote({ force: true }));
  const status = beta.resource.status();
  expect(status).toMatchObject({ diskState: 'UpToDate', suspended: false, suspendedReason: '' });
  beta.device.write(8, 'alone');
  world.network.heal('alpha', 'beta');
  await world.reach(() => beta.standsAlone('alpha') && world.node('alpha').standsAlone('beta'));
});

test('promote --force changes nothing while the source is there', async () => {
  world.network.heal('alpha', 'beta');
  const beta = world.node('beta');
  await world.reach(() => beta.peer('alpha').replicationState === 'SyncTarget');
  await world.do(beta.resource.promote({ force: true }));
  expect(beta.resource.status().diskState).toBe('Inconsistent');
  await world.reach(() => beta.sees('alpha') && world.node('alpha').sees('beta'));
});
