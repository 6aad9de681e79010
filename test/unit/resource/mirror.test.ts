// Two nodes: first sync, failover, return, split brain and what ends it.

import { NO_POLICIES } from '../../../src/model/policies';
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

async function splitBrain(): Promise<void> {
  await world.upInSync();
  world.network.cut('alpha', 'beta');
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  await world.do(beta().resource.promote({ force: false }));
  alpha().device.write(1, 'from alpha');
  beta().device.write(2, 'from beta');
  world.network.heal('alpha', 'beta');
  await world.reach(() => alpha().standsAlone('beta') && beta().standsAlone('alpha'));
}

test('two fresh copies connect and wait for a decision', async () => {
  await world.up();
  await world.reach(() => alpha().peer('beta').connectionState === 'Connected');
  expect(alpha().resource.status()).toMatchObject({ role: 'Secondary', diskState: 'Inconsistent' });
  expect(alpha().peer('beta')).toMatchObject({
    replicationState: 'Established',
    outOfSyncBytes: 81920,
    reason: 'both copies were just created: promote one with --force',
  });
  await expect(world.do(alpha().resource.promote({ force: false }))).rejects.toMatchObject({
    code: 'NotUpToDate',
  });
});

test('promote --force begins a full resync by itself', async () => {
  await world.up();
  await world.do(alpha().resource.promote({ force: true }));
  expect(alpha().device.serving).toEqual({ socketPath: '/run/r0.sock', exportName: 'r0' });
  alpha().device.write(3, 'first');
  await world.reach(() => beta().peer('alpha').replicationState === 'SyncTarget');
  expect(alpha().peer('beta')).toMatchObject({
    replicationState: 'SyncSource',
    diskState: 'Inconsistent',
  });
  expect(beta().peer('alpha').role).toBe('Primary');
  alpha().device.write(4, 'meanwhile');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([
    [3, 'first'],
    [4, 'meanwhile'],
  ]);
  expect(alpha().resource.status().currentUuid).toBe(beta().resource.status().currentUuid);
});

test('promote --force without a peer, which comes later', async () => {
  await world.up('alpha');
  await world.do(alpha().resource.promote({ force: true }));
  alpha().device.write(1, 'alone');
  await world.up('beta');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[1, 'alone']]);
});

test('an interrupted first resync goes on where it was', async () => {
  await world.up();
  await world.do(alpha().resource.promote({ force: true }));
  await world.reach(() => beta().disk.peers[0]?.bits.size === 10);
  world.network.cut('alpha', 'beta');
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  expect(beta().resource.status().diskState).toBe('Inconsistent');
  alpha().device.write(7, 'while away');
  world.network.heal('alpha', 'beta');
  await world.reach(() => beta().peer('alpha').replicationState === 'SyncTarget');
  expect(beta().peer('alpha').outOfSyncBytes).toBeLessThanOrEqual(11 * 4096);
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual(alpha().contents());
});

test('the Primary dies, the other takes over, the first comes back', async () => {
  await world.upInSync();
  alpha().device.write(1, 'one');
  alpha().crash();
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  expect(beta().resource.status()).toMatchObject({ diskState: 'UpToDate', mayPromote: true });
  await world.do(beta().resource.promote({ force: false }));
  beta().device.write(2, 'two');
  await world.up('alpha');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(alpha().resource.status().role).toBe('Secondary');
  expect(alpha().contents()).toEqual(beta().contents());
  expect(alpha().disk.meta.crashed).toBe(false);
});

test('a Secondary that was away gets what it missed while writing goes on', async () => {
  await world.upInSync();
  beta().crash();
  await world.reach(() => alpha().peer('beta').connectionState !== 'Connected');
  for (let block = 0; block < 5; block += 1) alpha().device.write(block, `v${block}`);
  await world.up('beta');
  await world.reach(() => beta().peer('alpha').replicationState === 'SyncTarget');
  alpha().device.write(9, 'during');
  await world.reach(() => beta().sees('alpha'));
  expect(beta().contents()).toEqual(alpha().contents());
});

test('a crashed Primary that nobody replaced is the source', async () => {
  await world.upInSync();
  alpha().device.write(1, 'last words');
  alpha().crash();
  beta().crash();
  await world.up();
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[1, 'last words']]);
});

test('switching the Primary loses nothing', async () => {
  await world.upInSync();
  alpha().device.write(1, 'one');
  await world.do(alpha().resource.demote());
  await world.do(beta().resource.promote({ force: false }));
  beta().device.write(2, 'two');
  expect(alpha().contents()).toEqual(beta().contents());
  expect(beta().resource.status().role).toBe('Primary');
  await world.reach(() => alpha().peer('beta').role === 'Primary');
});

test('split brain stands alone on both nodes and says so', async () => {
  await splitBrain();
  for (const [node, other] of [
    [alpha(), 'beta'],
    [beta(), 'alpha'],
  ] as const) {
    expect(node.peer(other).reason).toMatch(/^split brain: .*--discard-my-data$/);
    expect(node.changes.filter(({ type }) => type === 'splitBrain')).toHaveLength(1);
  }
  await world.clock.pass(30_000);
  expect(world.network.openConnections()).toBe(0);
});

test('discard-my-data is refused on a Primary and solves it on the other', async () => {
  await splitBrain();
  const discard = { discardMyData: true };
  await expect(world.do(beta().resource.connect(discard))).rejects.toThrow(/demote it before/);
  await world.do(beta().resource.demote());
  await world.do(beta().resource.connect(discard));
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[1, 'from alpha']]);
});

/** What a node told of a split brain that was settled. */
function settled(node: ReturnType<World['node']>): string[] {
  return node.changes.flatMap((change) => (change.type === 'settled' ? [change.message] : []));
}

test('what is given up in a split brain is told on both nodes: who, why and how much', async () => {
  await splitBrain();
  await world.do(beta().resource.demote());
  await world.do(beta().resource.connect({ discardMyData: true }));
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  for (const [node, other] of [
    [alpha(), 'beta'],
    [beta(), 'alpha'],
  ] as const) {
    expect(settled(node)).toEqual([
      `${node.name} and ${other} both changed r0 without each other; settled by --discard-my-data: \
beta gives up what it wrote, at most 4096 bytes, and becomes a copy of alpha`,
    ]);
  }
});

test('a policy that settles a split brain is told, after initial-split-brain', async () => {
  world.policies = { ...NO_POLICIES, zero: 'discard-younger-primary' };
  await world.upInSync();
  world.network.cut('alpha', 'beta');
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  await world.do(beta().resource.promote({ force: false }));
  alpha().device.write(1, 'from alpha');
  beta().device.write(2, 'from beta');
  for (const node of [alpha(), beta()]) await world.do(node.resource.demote());
  world.network.heal('alpha', 'beta');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[1, 'from alpha']]);
  const byPolicy = /settled by after-sb-0pri = discard-younger-primary: beta gives up .* 4096 /;
  expect(settled(alpha())).toEqual([expect.stringMatching(byPolicy)]);
  expect(settled(beta())).toEqual([expect.stringMatching(byPolicy)]);
  expect(alpha().handled).toContain('initial-split-brain beta');
  const atBeta = beta().handled.filter((line) => /split-brain|before-resync/.test(line));
  expect(atBeta.slice(-2)).toEqual(['initial-split-brain alpha', 'before-resync-target alpha']);
  expect(atBeta).not.toContain('split-brain alpha');
});

test('split brain that nothing settles runs both handlers, once', async () => {
  await splitBrain();
  await world.clock.pass(30_000);
  for (const [node, other] of [
    [alpha(), 'beta'],
    [beta(), 'alpha'],
  ] as const) {
    const run = node.handled.filter((line) => line.includes('split-brain'));
    expect(run).toEqual([`initial-split-brain ${other}`, `split-brain ${other}`]);
    expect(settled(node)).toEqual([]);
  }
});

test('a Primary that has to give up but is in use runs pri-lost-after-sb and stays', async () => {
  world.policies = {
    ...NO_POLICIES,
    zero: 'discard-younger-primary',
    two: 'call-pri-lost-after-sb',
  };
  await world.upInSync();
  world.network.cut('alpha', 'beta');
  await world.reach(() => beta().peer('alpha').connectionState !== 'Connected');
  await world.do(beta().resource.promote({ force: false }));
  beta().device.clients.push(42);
  alpha().device.write(1, 'from alpha');
  beta().device.write(2, 'from beta');
  world.network.heal('alpha', 'beta');
  const isLost = (line: string): boolean => line === 'pri-lost-after-sb alpha';
  await world.reach(() => beta().handled.some(isLost));
  await world.clock.pass(30_000);
  expect(beta().handled.filter(isLost)).toHaveLength(1);
  expect(alpha().handled.some((line) => line.startsWith('pri-lost'))).toBe(false);
  const refused = beta().changes.flatMap((change) =>
    change.type === 'failed' ? [change.error.message] : [],
  );
  expect(refused).toEqual([expect.stringMatching(/in use by qemu-nbd \(pid 42\)/)]);
  expect(beta().resource.status().role).toBe('Primary');
  expect(beta().contents()).toEqual([[2, 'from beta']]);
  // What the handler is for: the use ends, and the way is open.
  beta().device.clients.length = 0;
  await world.do(beta().resource.demote());
  await world.do(beta().resource.connect({ discardMyData: true }));
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[1, 'from alpha']]);
});

test('discard-my-data, interrupted, is remembered by what is durable', async () => {
  await splitBrain();
  await world.do(beta().resource.demote());
  await world.do(beta().resource.connect({ discardMyData: true }));
  await world.reach(() => beta().peer('alpha').replicationState === 'WFBitMapT');
  world.network.cut('alpha', 'beta');
  beta().crash();
  world.network.heal('alpha', 'beta');
  await world.up('beta');
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[1, 'from alpha']]);
});

test('an order to discard is not about what is attached after it', async () => {
  await splitBrain();
  await world.do(beta().resource.demote());
  world.network.cut('alpha', 'beta');
  await world.do(beta().resource.connect({ discardMyData: true }));
  await world.do(beta().resource.detach({ force: false }));
  await world.do(beta().resource.attach());
  world.network.heal('alpha', 'beta');
  await world.reach(() => alpha().standsAlone('beta') && beta().standsAlone('alpha'));
  expect(beta().contents()).toEqual([[2, 'from beta']]);
});

test('both discard: still split brain', async () => {
  await splitBrain();
  for (const node of [alpha(), beta()]) {
    await world.do(node.resource.demote());
    await world.do(node.resource.disconnect({}));
  }
  for (const node of [alpha(), beta()]) {
    await world.do(node.resource.connect({ discardMyData: true }));
  }
  await world.reach(() => alpha().standsAlone('beta') && beta().standsAlone('alpha'));
  expect(beta().contents()).toEqual([[2, 'from beta']]);
});

test('connect without discard stands alone again', async () => {
  await splitBrain();
  await world.do(alpha().resource.connect({ discardMyData: false }));
  await world.reach(() => alpha().peer('beta').connectionState !== 'StandAlone', 10);
  await world.reach(() => alpha().standsAlone('beta'));
  expect(alpha().peer('beta').reason).toMatch(/split brain/);
});

test('a restored snapshot is refused, and taken back by resync --full on it', async () => {
  await world.upInSync();
  await beta().down();
  const snapshot = beta().disk.copy();
  await world.up('beta');
  await world.reach(() => beta().sees('alpha') && alpha().sees('beta'));
  alpha().device.write(5, 'new');
  await beta().down();
  world.disks.set('/disk/beta', snapshot);
  await world.up('beta');
  await world.reach(() => beta().standsAlone('alpha') && alpha().standsAlone('beta'));
  expect(alpha().peer('beta').reason).toMatch(/^reverted: the copy of r0 on beta /);
  const run = await world.do(beta().resource.resync({ full: true }));
  await world.do(run.finished);
  await world.reach(() => alpha().sees('beta') && beta().sees('alpha'));
  expect(beta().contents()).toEqual([[5, 'new']]);
});

test('unrelated data is refused on both nodes', async () => {
  await world.up('alpha');
  await world.do(alpha().resource.promote({ force: true }));
  alpha().device.write(1, 'alpha');
  await alpha().down();
  await world.up('beta');
  await world.do(beta().resource.promote({ force: true }));
  await world.do(beta().resource.demote());
  await world.up('alpha');
  await world.reach(() => alpha().standsAlone('beta') && beta().standsAlone('alpha'));
  expect(beta().peer('alpha').reason).toMatch(/^unrelated data/);
});
