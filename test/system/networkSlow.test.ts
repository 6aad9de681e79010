// Networks that are slow, full, or come and go, by a forwarder between two nodes on loopback.
// Four writers go on throughout, and a fault of the network alone never makes a split brain.

import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import { Writers } from '../support/systemWriters';

jest.setTimeout(120_000);

const TIMEOUT_MS = 1500;
/** What the machine may take beyond it, however busy it is. */
const GRACE_MS = 6000;

let cluster: Cluster;
let writers: Writers;

async function begin(options = ''): Promise<void> {
  const net = `[net]\ntimeout-ms = ${TIMEOUT_MS}\n${options}`;
  cluster = await Cluster.inSync({ forwarded: true, tmpfs: true, options: net });
  writers = new Writers({ blocks: 2000 });
  await writers.start(cluster.first);
  await writers.goOn();
}

afterEach(() => cluster.remove());

async function expectHealed(): Promise<void> {
  await cluster.untilInSync();
  await writers.goOn();
  await writers.finish();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  expect((await cluster.first.status()).role).toBe('Primary');
  cluster.expectNoSplitBrain();
}

test('200 ms latency: writing goes on, and what was missed is copied', async () => {
  await begin();
  for (const link of cluster.allLinks) link.delayMs = 100;
  const slowAt = performance.now();
  await writers.goOn(20);
  // Nothing is acknowledged before the answer can be there.
  expect(writers.longestPauseMs(slowAt)).toBeGreaterThan(190);
  expect((await cluster.first.peer('beta')).replicationState).toBe('Established');
  await cluster.second.kill9();
  await writers.goOn(200);
  await cluster.second.start();
  await cluster.untilInSync();
  await writers.goOn(20);
  for (const link of cluster.allLinks) link.delayMs = 0;
  await expectHealed();
});

test('slow peer with full buffers: it is given up when it stops, and comes back', async () => {
  await begin('sndbuf-bytes = 65536\nrcvbuf-bytes = 65536\n');
  for (const link of cluster.allLinks) link.bytesPerSecond = MIB;
  await writers.goOn(100);
  const stoppedAt = performance.now();
  cluster.cutOneWay(cluster.first, cluster.second);
  await writers.stall();
  await writers.goOn(300);
  expect(writers.longestPauseMs(stoppedAt)).toBeLessThan(TIMEOUT_MS + GRACE_MS);
  await cluster.untilApart();
  for (const link of cluster.allLinks) {
    link.bytesPerSecond = Infinity;
    link.heal();
  }
  await expectHealed();
});

test('slow peer with full buffers: it stops reading in the middle of a resync', async () => {
  await begin();
  await cluster.second.call('r0', 'Disconnect');
  await cluster.untilApart();
  await writers.goOn(1500);
  for (const link of cluster.allLinks) link.bytesPerSecond = 4 * MIB;
  await cluster.second.call('r0', 'Connect');
  await until('the resync runs', async () => {
    return (await cluster.first.peer('beta')).replicationState === 'SyncSource';
  });
  const stoppedAt = performance.now();
  for (const link of cluster.allLinks) link.cut();
  await writers.stall();
  await writers.goOn(300);
  expect(writers.longestPauseMs(stoppedAt)).toBeLessThan(TIMEOUT_MS + GRACE_MS);
  for (const link of cluster.allLinks) {
    link.bytesPerSecond = Infinity;
    link.heal();
  }
  await expectHealed();
});

test.each([
  ['what the Primary sends', 'first', 'second'],
  ['what the Secondary sends', 'second', 'first'],
] as const)('one-way cut, seen by the programs only: %s is held up', async (_what, from, to) => {
  await begin();
  const cutAt = performance.now();
  cluster.cutOneWay(cluster[from], cluster[to]);
  await writers.stall();
  await writers.goOn();
  expect(writers.longestPauseMs(cutAt)).toBeLessThan(TIMEOUT_MS + GRACE_MS);
  await cluster.untilApart();
  for (const link of cluster.allLinks) link.heal();
  await expectHealed();
});

test('a link that flaps every second loses nothing and heals', async () => {
  await begin();
  for (let flap = 0; flap < 6; flap++) {
    const overAt = performance.now() + 1000;
    // By turns as a host that resets, and as a black hole.
    for (const link of cluster.allLinks) {
      if (flap % 4 === 0) link.reset();
      if (flap % 2 === 0) link.cut();
      else link.heal();
    }
    await until('the second is over', () => performance.now() > overAt);
  }
  await expectHealed();
});
