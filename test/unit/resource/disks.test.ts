// Disks that fail under a resource: a Primary is served by its peers, over more than one
// connection; a Secondary is not connected; the administrator's handler runs.

import { MirrorError } from '../../../src/model/errors';
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
const served = (): boolean =>
  alpha().peer('beta').replicationState === 'Established' &&
  beta().peer('alpha').diskState === 'Diskless';

test('a Primary whose disk fails stays connected and is served', async () => {
  await world.upInSync();
  alpha().device.fail('flushing the backing disk');
  await world.reach(served);
  expect(alpha().resource.status()).toMatchObject({ role: 'Primary', diskState: 'Diskless' });
  expect(alpha().changes.some((change) => change.type === 'failed')).toBe(true);
  alpha().device.write(3, 'by the peer');
  expect(beta().disk.blocks.get(3)).toBe('by the peer');
  await world.clock.pass(10_000);
  expect(served()).toBe(true);
});

test('it is served again after its connection was lost', async () => {
  await world.upInSync();
  alpha().device.fail('flushing the backing disk');
  await world.reach(served);
  alpha().device.write(3, 'first');
  for (const link of beta().device.links.values()) link.end.close();
  await world.reach(() => alpha().peer('beta').connectionState !== 'Connected');
  await world.reach(served);
  alpha().device.write(4, 'second');
  expect(beta().disk.blocks.get(4)).toBe('second');
  expect(beta().disk.record(0).bits.size).toBe(2);
});

test('demoted, it leaves, and the peer is promoted', async () => {
  await world.upInSync();
  alpha().device.fail('flushing the backing disk');
  await world.reach(served);
  await world.do(alpha().resource.demote());
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  await world.do(beta().resource.promote({ force: false }));
  expect(beta().resource.status()).toMatchObject({ role: 'Primary', diskState: 'UpToDate' });
});

test.each(['detach', 'call-local-io-error'] as const)('with %s', async (onIoError) => {
  const handlers = { 'local-io-error': '/usr/local/bin/tell' };
  for (const node of [alpha(), beta()]) await node.up({ ...world.config(), onIoError, handlers });
  await world.reach(() => alpha().peer('beta').connectionState === 'Connected');
  beta().device.fail('reading from the backing disk');
  await world.reach(() => beta().resource.status().diskState === 'Diskless');
  const runs = onIoError === 'detach' ? 0 : 1;
  expect(beta().handled.filter((line) => line.startsWith('local-io-error'))).toHaveLength(runs);
});

test('detached and attached again, a Primary is resynced and serves itself', async () => {
  await world.upInSync();
  await world.do(alpha().resource.detach({ force: false }));
  await world.reach(served);
  expect(alpha().changes.some((change) => change.type === 'failed')).toBe(false);
  alpha().device.write(3, 'by the peer');
  await world.do(alpha().resource.attach());
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(alpha().resource.status()).toMatchObject({ role: 'Primary', diskState: 'UpToDate' });
  expect(alpha().disk.blocks.get(3)).toBe('by the peer');
});

test('a Secondary attaches again and is resynced', async () => {
  await world.upInSync();
  await world.do(beta().resource.detach({ force: false }));
  alpha().device.write(3, 'alone');
  await world.do(beta().resource.attach());
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().disk.blocks.get(3)).toBe('alone');
});

test('the last good copy of a Primary is neither detached nor attached again', async () => {
  await world.upInSync();
  await world.do(beta().resource.disconnect({}));
  await world.reach(() => alpha().peer('beta').connectionState !== 'Connected');
  const refusal = { code: 'NotUpToDate' };
  await expect(world.do(alpha().resource.detach({ force: false }))).rejects.toMatchObject(refusal);
  expect(alpha().resource.status().diskState).toBe('UpToDate');
  await world.do(alpha().resource.detach({ force: true }));
  await expect(world.do(alpha().resource.attach())).rejects.toMatchObject(refusal);
  await world.do(alpha().resource.demote());
  await world.do(alpha().resource.attach());
  expect(alpha().resource.status().diskState).toBe('UpToDate');
});

test('a disk that fails while its detach is being refused is gone', async () => {
  await world.upInSync();
  const { device } = alpha();
  device.detachDisk = () => {
    device.fail('writing to the backing disk');
    return Promise.reject(new MirrorError('DeviceInUse', 'no peer has the data'));
  };
  const detaching = world.do(alpha().resource.detach({ force: false }));
  await expect(detaching).rejects.toMatchObject({ code: 'DeviceInUse' });
  expect(alpha().resource.status().diskState).toBe('Diskless');
  await world.reach(served);
});

test('a disk that fails as soon as it is attached is gone', async () => {
  await world.upInSync();
  await world.do(beta().resource.detach({ force: false }));
  const { device } = beta();
  const attach = device.attachDisk.bind(device);
  device.attachDisk = async () => {
    const metadata = await attach();
    device.fail('writing to the backing disk');
    return metadata;
  };
  await expect(world.do(beta().resource.attach())).rejects.toThrow('failed at once');
  expect(beta().resource.status().diskState).toBe('Diskless');
});

test('demote waits for the last flush of a peer as long as that may take to answer', async () => {
  await alpha().up({ ...world.config(), timeoutMs: 60_000 });
  await world.do(alpha().resource.promote({ force: true }));
  const { device } = alpha();
  const withdraw = device.withdraw.bind(device);
  device.withdraw = (force) =>
    new Promise<void>((resolve) => void world.clock.after(50_000, resolve)).then(() =>
      withdraw(force),
    );
  await world.do(alpha().resource.demote());
  expect(alpha().resource.status().role).toBe('Secondary');
});

test('detach and attach wait for a peer as long as that may take to answer', async () => {
  for (const node of [alpha(), beta()]) await node.up({ ...world.config(), timeoutMs: 60_000 });
  await world.do(alpha().resource.promote({ force: true }));
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  const { device } = alpha();
  const detach = device.detachDisk.bind(device);
  const attach = device.attachDisk.bind(device);
  const later = (): Promise<void> =>
    new Promise((resolve) => void world.clock.after(50_000, resolve));
  device.detachDisk = () => later().then(detach);
  device.attachDisk = () => later().then(attach);
  await world.do(alpha().resource.detach({ force: false }));
  await world.reach(served);
  await world.do(alpha().resource.attach());
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
});
