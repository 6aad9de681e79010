// A copy that went back to an older state, where the other one is no source either.

import { World } from '../../support/mirrorWorld';

let world: World;
beforeEach(() => {
  world = World.create(['alpha', 'beta']);
});
afterEach(() => {
  expect(world.violations).toEqual([]);
});

const alpha = (): ReturnType<World['node']> => world.node('alpha');
const beta = (): ReturnType<World['node']> => world.node('beta');

async function untilBothStandAlone(): Promise<void> {
  await world.reach(() => alpha().standsAlone('beta') && beta().standsAlone('alpha'));
}

/** alpha goes back to a snapshot while beta is in the middle of a resync from it. */
async function revertBesideInconsistent(): Promise<void> {
  await world.upInSync();
  alpha().device.write(1, 'old');
  await alpha().down();
  const snapshot = alpha().disk.copy();
  await world.up('alpha');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  await world.do(alpha().resource.promote({ force: false }));
  alpha().device.write(2, 'new');
  await world.do(beta().resource.resync({ full: true }));
  await world.reach(() => beta().peer('alpha').replicationState === 'SyncTarget');
  alpha().crash();
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  world.disks.set('/disk/alpha', snapshot);
  await world.up('alpha');
  await untilBothStandAlone();
}

const REVERTED =
  'reverted: the copy of r0 on alpha went back to an older state, and the one on beta is ' +
  'Inconsistent, so it is no source; to go on with the older one, run down, create-md --force ' +
  'and up on beta; to go on with the one on beta as it is, run promote r0 --force there, then ' +
  'resync r0 --full on alpha';

test('a reverted copy beside an Inconsistent one: both nodes say what helps', async () => {
  await revertBesideInconsistent();
  expect(alpha().peer('beta').reason).toBe(REVERTED);
  expect(beta().peer('alpha').reason).toBe(REVERTED);
});

test('a reverted copy is not given up while no peer can replace it', async () => {
  await revertBesideInconsistent();
  const order = (): Promise<unknown> => world.do(alpha().resource.resync({ full: true }));
  const message = `the copy of r0 on alpha is not given up: ${REVERTED}`;
  await expect(order()).rejects.toMatchObject({ code: 'NotUpToDate', message });
  expect(alpha().resource.status().diskState).toBe('UpToDate');
  // Restarted, it learns from the handshake that beta is no source.
  await alpha().down();
  await world.up('alpha');
  await untilBothStandAlone();
  await expect(order()).rejects.toMatchObject({ code: 'NotUpToDate', message });
  expect(alpha().resource.status().diskState).toBe('UpToDate');
});

test('the older copy goes on when the Inconsistent one is recreated', async () => {
  await revertBesideInconsistent();
  await beta().down();
  world.newDisk('beta');
  await world.up('beta');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[1, 'old']]);
});

test('the Inconsistent copy goes on when it is promoted by force', async () => {
  await revertBesideInconsistent();
  await world.do(beta().resource.promote({ force: true }));
  const run = await world.do(alpha().resource.resync({ full: true }));
  await world.do(run.finished);
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(alpha().contents()).toEqual(beta().contents());
});

test('what did not go back is not given up for what did', async () => {
  await world.upInSync();
  await beta().down();
  const snapshot = beta().disk.copy();
  await world.up('beta');
  await world.reach(() => beta().sees('alpha') && alpha().sees('beta'));
  await beta().down();
  world.disks.set('/disk/beta', snapshot);
  await world.up('beta');
  await untilBothStandAlone();
  await world.do(alpha().resource.demote());
  const order = world.do(alpha().resource.resync({ full: true }));
  await expect(order).rejects.toThrow(/on alpha is not given up: .* resync r0 --full on beta/);
  expect(alpha().resource.status().diskState).toBe('UpToDate');
});

test('a resync right after up waits for the peer that is being connected', async () => {
  await world.upInSync();
  await alpha().down();
  const snapshot = alpha().disk.copy();
  await world.up('alpha');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  await world.do(beta().resource.promote({ force: false }));
  beta().device.write(1, 'new');
  await alpha().down();
  world.disks.set('/disk/alpha', snapshot);
  await world.up('alpha');
  expect(alpha().peer('beta').connectionState).not.toBe('StandAlone');
  const run = await world.do(alpha().resource.resync({ full: true }));
  await world.do(run.finished);
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(alpha().contents()).toEqual([[1, 'new']]);
});
