// Commands: what they refuse and in which words, what they leave behind.

import type { NodeName } from '../../../src/model/states';
import type { ResyncRun } from '../../../src/resource/device';
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
const name = (text: string): NodeName => text as NodeName;

async function refused(promise: Promise<unknown>): Promise<string> {
  const error = await world.do(
    promise.then(
      () => 'was not refused',
      (failure: unknown) => failure,
    ),
  );
  const { code, message } = error as { code?: string; message?: string };
  return `${code ?? ''}: ${message ?? String(error)}`;
}

const inSync = (): boolean => alpha().sees('beta') && beta().sees('alpha');

test('demote names the clients that hold the device', async () => {
  await world.upInSync();
  alpha().device.clients.push(42, 43);
  expect(await refused(alpha().resource.demote())).toBe(
    'DeviceInUse: r0 is in use by qemu-nbd (pid 42), pid 43: stop using it first',
  );
  expect(await refused(alpha().resource.down())).toMatch(/^DeviceInUse: /);
  expect(alpha().resource.status()).toMatchObject({ role: 'Primary', nbdSocket: '/run/r0.sock' });
  alpha().device.clients.length = 0;
  await world.do(alpha().resource.demote());
  await world.do(alpha().resource.demote());
  expect(alpha().resource.status()).toMatchObject({ role: 'Secondary', nbdSocket: null });
  expect(alpha().disk.meta.primaryIndicator).toBe(false);
});

test('down leaves a clean copy, twice is fine, up goes on', async () => {
  await world.upInSync();
  const { resource } = alpha();
  await world.do(Promise.all([resource.down(), resource.down()]));
  await world.do(resource.down());
  expect(alpha().disk).toMatchObject({ inUse: false, attached: false });
  expect(alpha().disk.meta.primaryIndicator).toBe(false);
  expect(await refused(resource.promote({ force: false }))).toMatch(/^NotFound: /);
  alpha().plane.close();
  await world.up('alpha');
  await world.reach(inSync);
});

test('close cuts clients and refuses nothing', async () => {
  await world.upInSync();
  alpha().device.clients.push(42);
  await world.do(alpha().resource.close());
  expect(alpha().disk.inUse).toBe(false);
});

test('promote is refused beside a Primary, and twice is fine on it', async () => {
  await world.upInSync();
  await world.do(alpha().resource.promote({ force: false }));
  expect(await refused(beta().resource.promote({ force: true }))).toBe(
    'PeerIsPrimary: alpha is Primary for r0: demote it there first',
  );
  expect(beta().resource.status().mayPromote).toBe(false);
});

test('promote is refused on a SyncTarget; forced it stays one', async () => {
  world = World.create(['alpha', 'beta'], 1, 200);
  await world.up();
  await world.do(alpha().resource.promote({ force: true }));
  alpha().device.write(150, 'late');
  await world.reach(() => beta().peer('alpha').replicationState === 'SyncTarget');
  await world.do(alpha().resource.demote());
  expect(await refused(beta().resource.promote({ force: false }))).toMatch(
    /^NotUpToDate: the local copy of r0 is Inconsistent: wait until the resync has finished/,
  );
  const { currentUuid } = beta().disk.meta;
  await world.do(beta().resource.promote({ force: true }));
  expect(beta().resource.status()).toMatchObject({ role: 'Primary', diskState: 'Inconsistent' });
  expect(beta().disk.meta.currentUuid).toBe(currentUuid);
  expect(await refused(beta().resource.disconnect({}))).toMatch(/^NotUpToDate: r0 reads from/);
  await world.reach(inSync);
});

test('a failed disk ends the connection, and the peer is told why', async () => {
  await world.upInSync();
  beta().device.fail('write error on /disk/beta');
  await world.reach(() => /no backing disk on beta/.test(alpha().peer('beta').reason));
  expect(beta().resource.status()).toMatchObject({ diskState: 'Diskless', mayPromote: false });
  expect(beta().changes.some((change) => change.type === 'failed')).toBe(true);
  alpha().device.write(1, 'alone');
  expect(await refused(beta().resource.promote({ force: true }))).toBe(
    'NotAttached: the local copy of r0 is Diskless: repair the disk, then run attach r0',
  );
  await world.clock.pass(10_000);
  expect(alpha().peer('beta').outOfSyncBytes).toBe(4096);
});

test('disconnect lasts until connect; the peer keeps trying and says why', async () => {
  await world.upInSync();
  await world.do(beta().resource.disconnect({ peer: name('alpha') }));
  expect(beta().peer('alpha')).toMatchObject({
    connectionState: 'StandAlone',
    reason: 'disconnected by the administrator',
  });
  alpha().device.write(1, 'one');
  await world.clock.pass(20_000);
  expect(alpha().peer('beta')).toMatchObject({
    connectionState: 'Connecting',
    reason: 'beta refused the connection: r0 is disconnected on beta',
    outOfSyncBytes: 4096,
  });
  await world.do(beta().resource.connect({ discardMyData: false }));
  await world.reach(inSync, 5000);
  expect(beta().contents()).toEqual([[1, 'one']]);
  expect(alpha().peer('beta').reason).toBe('');
});

test('an unknown peer is refused with the known ones', async () => {
  await world.upInSync();
  const peer = name('gamma');
  const message = 'NotFound: gamma is no peer of r0: its peers here are beta';
  expect(await refused(alpha().resource.disconnect({ peer }))).toBe(message);
  expect(await refused(alpha().resource.connect({ peer, discardMyData: false }))).toBe(message);
  expect(await refused(alpha().resource.resync({ full: false, to: peer }))).toBe(message);
});

describe('resync', () => {
  async function finish(run: Promise<ResyncRun>): Promise<ResyncRun> {
    const started = await world.do(run);
    await world.do(started.finished);
    return started;
  }

  test('with nothing out of sync it has finished', async () => {
    await world.upInSync();
    const run = await finish(beta().resource.resync({ full: false }));
    expect(run.peer).toBe('alpha');
    expect(run.progress()).toEqual({ fraction: 1, bytesPerSecond: 0 });
  });

  test('joins the one that runs, and shows its progress', async () => {
    world = World.create(['alpha', 'beta'], 1, 3000);
    await world.up();
    await world.do(alpha().resource.promote({ force: true }));
    await world.reach(() => beta().peer('alpha').replicationState === 'SyncTarget');
    await world.clock.pass(1500);
    const run = await world.do(beta().resource.resync({ full: false }));
    const { fraction, bytesPerSecond } = run.progress();
    expect(fraction).toBeGreaterThan(0.3);
    expect(fraction).toBeLessThan(0.7);
    expect(bytesPerSecond / 4096_000).toBeCloseTo(1, 1);
    expect(alpha().peer('beta').resyncDonePercent).toBeCloseTo(fraction * 100, 1);
    expect(alpha().peer('beta').resyncBytesPerSecond).toBeGreaterThan(0);
    await world.do(run.finished);
    expect(beta().peer('alpha')).toMatchObject({
      resyncDonePercent: 100,
      resyncBytesPerSecond: 0,
    });
  });

  test('--full copies everything', async () => {
    await world.upInSync();
    alpha().device.write(1, 'one');
    const starting = beta().resource.resync({ full: true });
    const run = await world.do(starting);
    expect(beta().resource.status().diskState).toBe('Inconsistent');
    expect(beta().peer('alpha').outOfSyncBytes).toBe(81920);
    beta().disk.blocks.set(7, 'rotten');
    await world.do(run.finished);
    await world.reach(inSync);
    expect(beta().contents()).toEqual([[1, 'one']]);
  });

  test('on a Primary it needs --to', async () => {
    await world.upInSync();
    expect(await refused(alpha().resource.resync({ full: true }))).toBe(
      'InvalidArgs: r0 is Primary here: name the peer to copy to with --to',
    );
    alpha().device.write(2, 'two');
    beta().disk.blocks.set(7, 'rotten');
    await finish(alpha().resource.resync({ full: true, to: name('beta') }));
    await world.reach(inSync);
    expect(beta().contents()).toEqual([[2, 'two']]);
    await finish(alpha().resource.resync({ full: false, to: name('beta') }));
  });

  test('--to copies from here to another Secondary too, but never to a Primary', async () => {
    await world.upInSync();
    const full = (): Promise<ResyncRun> => {
      return beta().resource.resync({ full: true, to: name('alpha') });
    };
    expect(await refused(full())).toBe(
      'PeerIsPrimary: alpha is Primary for r0: demote it before its copy is overwritten',
    );
    expect(inSync()).toBe(true);
    await world.do(alpha().resource.demote());
    await world.reach(() => beta().peer('alpha').role === 'Secondary');
    alpha().disk.blocks.set(7, 'rotten');
    await finish(full());
    await world.reach(inSync);
    expect(alpha().contents()).toEqual([]);
  });

  test('without an UpToDate peer it is refused, and the copy stays as it is', async () => {
    await world.upInSync();
    alpha().crash();
    await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
    for (const full of [false, true]) {
      expect(await refused(beta().resource.resync({ full }))).toBe(
        'NotConnected: no UpToDate peer of r0 is connected: connect one first',
      );
    }
    expect(await refused(beta().resource.invalidate())).toMatch(/^NotConnected/);
    expect(beta().resource.status().diskState).toBe('UpToDate');
  });

  test('rejects when the connection is lost, and goes on by itself', async () => {
    world = World.create(['alpha', 'beta'], 1, 300);
    await world.upInSync();
    const run = await world.do(beta().resource.resync({ full: true }));
    await world.reach(() => beta().peer('alpha').replicationState === 'SyncTarget');
    await world.clock.pass(50);
    world.network.cut('alpha', 'beta');
    expect(await refused(run.finished)).toMatch(/^NotConnected: the resync of r0 with alpha did/);
    world.network.heal('alpha', 'beta');
    await world.reach(inSync);
  });

  test('cancel ends the watching', async () => {
    await world.upInSync();
    const run = await world.do(beta().resource.resync({ full: true }));
    run.cancel();
    expect(await refused(run.finished)).toMatch(/^Failed: cancelled/);
    await world.reach(inSync);
  });

  test('invalidate gives the local copy up; not on a Primary', async () => {
    await world.upInSync();
    expect(await refused(alpha().resource.invalidate())).toMatch(/^InvalidArgs: r0 is Primary/);
    await world.do(beta().resource.invalidate());
    expect(beta().disk.meta.consistent).toBe(false);
    await world.reach(inSync);
  });
});

describe('reconfigure', () => {
  test('timeouts, al-extents and rates of a resync change at once', async () => {
    await world.upInSync();
    const rates = { cMaxKibPerSecond: 4096, cMinKibPerSecond: 0 };
    const options = { timeoutMs: 1234, alExtents: 9, ...rates };
    await world.do(alpha().resource.reconfigure({ ...world.config(), ...options }));
    expect(alpha().device.options).toMatchObject(options);
    expect(inSync()).toBe(true);
  });

  test('the own disk does not', async () => {
    await world.upInSync();
    const { nodes } = world.config();
    const changed = nodes.map((node) => ({ ...node, disk: '/disk/other' }));
    expect(await refused(alpha().resource.reconfigure({ ...world.config(), nodes: changed }))).toBe(
      'InvalidArgs: the disk of r0 cannot change while it is up: run down and up',
    );
    const other = { ...world.config(), protocol: 'A' as const };
    expect(await refused(alpha().resource.reconfigure(other))).toBe(
      'InvalidArgs: the protocol of r0 cannot change while it is up: run down and up',
    );
    const more = [...nodes, { ...present(nodes[0]), name: name('zeta') }];
    expect(await refused(alpha().resource.reconfigure({ ...world.config(), nodes: more }))).toMatch(
      /the set of nodes \(zeta is new\) of r0 cannot change/,
    );
  });

  test('a peer may go, and another address is followed', async () => {
    await world.upInSync();
    const { nodes } = world.config();
    const moved = nodes.map((node) =>
      node.name === 'beta' ? { ...node, host: 'elsewhere', address: 'elsewhere:7788' } : node,
    );
    await world.do(alpha().resource.reconfigure({ ...world.config(), nodes: moved }));
    expect(alpha().peer('beta').address).toBe('elsewhere:7788');
    await world.reach(inSync); // beta dials, too
    const alone = nodes.filter((node) => node.name === 'alpha');
    await world.do(alpha().resource.reconfigure({ ...world.config(), nodes: alone }));
    expect(alpha().resource.status().peers).toEqual([]);
  });
});

function present<T>(value: T | undefined): T {
  if (value === undefined) throw new Error('nothing there');
  return value;
}
