// Real packets are lost between two nodes, each in a network namespace: a cut both ways or one
// way, a host that has forgotten the connection, and 5 % loss. Four writers go on throughout,
// the mirror heals by itself, and a fault of the network alone never makes a split brain.

import { NetworkNamespaces, namespacesUnavailable } from '../support/networkNamespaces';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import { Writers } from '../support/systemWriters';

jest.setTimeout(120_000);

const NODES = ['alpha', 'beta'];
const TIMEOUT_MS = 1500;
/** What the machine may take beyond it, however busy it is. */
const GRACE_MS = 6000;

const missing = namespacesUnavailable();
if (missing !== undefined) {
  process.stderr.write(`SKIPPED test/system/networkLosses: ${missing}\n`);
}
const maybe = missing === undefined ? test : test.skip;

let network: NetworkNamespaces;
let cluster: Cluster;
let writers: Writers;

beforeEach(async () => {
  if (missing !== undefined) return;
  network = await NetworkNamespaces.open(NODES);
  const options = `[net]\ntimeout-ms = ${TIMEOUT_MS}\n`;
  try {
    cluster = await Cluster.inSync({ nodes: NODES, network, options, tmpfs: true });
  } catch (error) {
    await network.close();
    throw error;
  }
  cluster.onRemove(() => network.close());
  writers = new Writers({ blocks: 2000 });
  await writers.start(cluster.first);
  await writers.goOn();
});

afterEach(async () => {
  if (missing === undefined) await cluster.remove();
});

async function expectHealed(): Promise<void> {
  await cluster.untilInSync();
  await writers.goOn();
  await writers.finish();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  expect((await cluster.first.status()).role).toBe('Primary');
  expect((await cluster.second.status()).role).toBe('Secondary');
  cluster.expectNoSplitBrain();
}

maybe('black hole (no RST): writing goes on within timeout-ms, and the mirror heals', async () => {
  const cutAt = performance.now();
  await network.lose(0, 100);
  await network.lose(1, 100);
  await writers.stall();
  await writers.goOn();
  expect(writers.longestPauseMs(cutAt)).toBeLessThan(TIMEOUT_MS + GRACE_MS);
  await cluster.untilApart();
  await network.heal();
  await expectHealed();
});

maybe.each([
  ['what the Primary sends', 1],
  ['what the Secondary sends', 0],
] as const)('one-way cut: %s is lost', async (_what, receiver) => {
  const cutAt = performance.now();
  await network.lose(receiver, 100);
  await writers.stall();
  await writers.goOn();
  expect(writers.longestPauseMs(cutAt)).toBeLessThan(TIMEOUT_MS + GRACE_MS);
  await cluster.untilApart();
  await network.heal();
  await expectHealed();
});

maybe('half-open TCP: the Secondary has forgotten the connection, the Primary not', async () => {
  await network.lose(0, 100);
  await network.lose(1, 100);
  // Its kernel tells the other end that the connection is gone, and that is lost.
  await cluster.second.kill9();
  await network.heal();
  await cluster.second.start();
  await writers.goOn();
  await expectHealed();
});

maybe('half-open TCP on an idle mirror: the Primary has forgotten the connection', async () => {
  await writers.finish();
  await network.lose(0, 100);
  await network.lose(1, 100);
  await cluster.first.kill9();
  await network.heal();
  await cluster.first.start();
  await until('it is connected again', async () => {
    return (await cluster.first.peer('beta')).connectionState === 'Connected';
  });
  await cluster.first.must('promote', 'r0');
  await writers.start(cluster.first);
  await expectHealed();
});

maybe('5 % loss: writing, a resync and reconnections get through', async () => {
  await network.lose(0, 5);
  await network.lose(1, 5);
  await writers.goOn(200);
  await cluster.second.kill9();
  await writers.goOn(500);
  await cluster.second.start();
  await cluster.untilInSync();
  await writers.goOn(200);
  expect((await network.lost(0)) + (await network.lost(1))).toBeGreaterThan(20);
  await network.heal();
  await expectHealed();
});
