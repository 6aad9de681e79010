// Both nodes were Primary without each other: both say so, neither drops anything by itself, and
// the administrator's choice solves it. And copies that never had anything in common.

import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.inSync();
});

afterEach(() => cluster.remove());

async function writeBlock(node: SystemNode, offset: number, byte: number): Promise<void> {
  const client = await NbdClient.open(node.socket());
  await client.write(offset, Buffer.alloc(4096, byte));
  await client.close();
}

async function readByte(node: SystemNode, offset: number): Promise<number> {
  const client = await NbdClient.open(node.socket());
  const data = await client.read(offset, 4096);
  await client.close();
  return new Set(data).size === 1 ? (data[0] ?? -1) : -1;
}

/** Alpha writes 1 at 0, beta writes 2 at 0 and at 1 MiB, without each other. */
async function makeSplitBrain(): Promise<void> {
  const { first, second } = cluster;
  await first.must('disconnect', 'r0');
  await cluster.untilApart();
  await second.must('promote', 'r0');
  await writeBlock(first, 0, 1);
  await writeBlock(second, 0, 2);
  await writeBlock(second, 1 << 20, 2);
  await first.must('connect', 'r0');
  await second.must('connect', 'r0');
  await until('both nodes stand alone', async () => {
    const states = await Promise.all([first.peer('beta'), second.peer('alpha')]);
    return states.every((peer) => peer.connectionState === 'StandAlone');
  });
}

test('split brain is found on both nodes, which say so and stay StandAlone', async () => {
  await makeSplitBrain();
  for (const [node, peer] of [
    [cluster.first, 'beta'],
    [cluster.second, 'alpha'],
  ] as const) {
    const seen = await node.peer(peer);
    expect(seen.reason).toMatch(/split brain/);
    expect(await node.must('status')).toMatch(/split brain/i);
    expect(node.log()).toMatch(/split brain/);
    expect((await node.status()).role).toBe('Primary');
  }
  expect(await readByte(cluster.first, 0)).toBe(1);
  expect(await readByte(cluster.second, 0)).toBe(2);
});

test('connect --discard-my-data on one node makes it the other one', async () => {
  await makeSplitBrain();
  const { first, second } = cluster;
  expect(await second.refused('connect', 'r0', '--discard-my-data')).toMatch(/Primary/);
  await second.must('demote', 'r0');
  await second.must('connect', 'r0', '--discard-my-data');
  await first.must('connect', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
  expect(await readByte(first, 0)).toBe(1);
  expect(await readByte(first, 1 << 20)).toBe(0);
});

test('two Primaries that lost each other in the network are split brain as well', async () => {
  const { first, second } = cluster;
  await second.must('disconnect', 'r0');
  await cluster.untilApart();
  await second.must('promote', 'r0');
  await second.must('connect', 'r0');
  await until('both nodes stand alone', async () => {
    const states = await Promise.all([first.peer('beta'), second.peer('alpha')]);
    return states.every((peer) => peer.connectionState === 'StandAlone');
  });
  expect((await first.peer('beta')).reason).toMatch(/split brain/);
});

test('copies that never had data in common are refused on both nodes', async () => {
  const { first, second } = cluster;
  await second.must('down', 'r0');
  await second.must('create-md', 'r0', '--force');
  await first.must('disconnect', 'r0');
  await second.must('up', 'r0');
  await second.must('promote', 'r0', '--force');
  await writeBlock(second, 0, 9);
  // Two Primaries that meet would be split brain before anything else is looked at.
  await second.must('demote', 'r0');
  await first.must('connect', 'r0');
  await second.must('connect', 'r0');
  await until('both nodes stand alone', async () => {
    const states = await Promise.all([first.peer('beta'), second.peer('alpha')]);
    return states.every((peer) => peer.connectionState === 'StandAlone');
  });
  expect((await first.peer('beta')).reason).toMatch(/unrelated/);
  expect((await second.peer('alpha')).reason).toMatch(/unrelated/);
  await second.must('promote', 'r0');
  expect(await readByte(second, 0)).toBe(9);
});
