// Both nodes dial at the same instant, again and again: one connection stays, also when one of
// them or both have just been started anew. Four writers go on throughout.

import { Cluster } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { Writers } from '../support/systemWriters';

jest.setTimeout(120_000);

let cluster: Cluster;
let writers: Writers;

beforeEach(async () => {
  cluster = await Cluster.inSync({ forwarded: true, tmpfs: true });
  writers = new Writers({ blocks: 200 });
  await writers.start(cluster.first);
  await writers.goOn();
});

afterEach(() => cluster.remove());

async function part(): Promise<void> {
  for (const node of cluster.nodes) await node.call('r0', 'Disconnect');
  await cluster.untilApart();
}

/** One connection is there and nothing else is tried: nothing is dialled for it again. */
async function expectOneConnection(): Promise<void> {
  await cluster.untilInSync();
  const [one, other] = cluster.nodes.map((node) => node.log().length);
  await writers.goOn(20);
  const logs = [cluster.first.log().slice(one), cluster.second.log().slice(other)];
  expect(logs.join('')).not.toMatch(/Unconnected|Connecting/);
}

async function expectAllWell(): Promise<void> {
  await writers.finish();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  cluster.expectNoSplitBrain();
}

test('equal boot nonces: both are told to connect at once, 30 times', async () => {
  for (let round = 0; round < 30; round++) {
    await part();
    await Promise.all(cluster.nodes.map((node) => node.call('r0', 'Connect')));
    await expectOneConnection();
  }
  await expectAllWell();
});

test('equal boot nonces: both connections arrive at the same instant, 15 times', async () => {
  for (let round = 0; round < 15; round++) {
    await part();
    // Both are taken by the network and held up there.
    for (const link of cluster.allLinks) link.cut();
    await Promise.all(cluster.nodes.map((node) => node.call('r0', 'Connect')));
    const { first, second } = cluster;
    await cluster.link(first, second).untilDialled();
    await cluster.link(second, first).untilDialled();
    for (const link of cluster.allLinks) link.heal();
    await expectOneConnection();
  }
  await expectAllWell();
});

test('a new boot nonce: the Secondary dials while its old link seems alive', async () => {
  for (let round = 0; round < 3; round++) {
    // What its kernel says to the other end is held up.
    for (const link of cluster.allLinks) link.cut();
    await cluster.second.kill9();
    await cluster.second.start();
    await cluster.link(cluster.second, cluster.first).untilDialled();
    for (const link of cluster.allLinks) link.heal();
    await expectOneConnection();
  }
  await expectAllWell();
});

test('new boot nonces on both nodes: killed and started at once', async () => {
  for (let round = 0; round < 3; round++) {
    await Promise.all(cluster.nodes.map((node) => node.kill9()));
    await writers.abandon();
    await Promise.all(cluster.nodes.map((node) => node.start()));
    await cluster.untilInSync();
    const primary: SystemNode = cluster.node(round % 2);
    await primary.must('promote', 'r0');
    await writers.check(primary);
    await writers.start(primary);
    await expectOneConnection();
  }
  await expectAllWell();
});
