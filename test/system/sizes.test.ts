// Devices of odd sizes and other block sizes, and disks that grow behind a mirror's back.

import { randomBytes } from 'node:crypto';
import { truncateSync } from 'node:fs';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';

jest.setTimeout(120_000);

let cluster: Cluster;

afterEach(() => cluster.remove());

/** Writes at the device's start and its very end; the other node has it after a failover. */
async function writeAtBothEnds(unitBytes: number): Promise<void> {
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  const data = randomBytes(3 * unitBytes);
  const end = client.sizeBytes - data.length;
  await client.write(0, data);
  await client.write(end, data);
  await client.flush();
  await client.close();
  await cluster.expectIdentical();
  await first.kill9();
  await second.must('promote', 'r0');
  const other = await NbdClient.open(second.socket());
  expect(other.sizeBytes).toBe(end + data.length);
  expect((await other.read(end, data.length)).equals(data)).toBe(true);
  expect((await other.read(0, data.length)).equals(data)).toBe(true);
  await other.close();
}

test('odd sizes: a device that ends within a block is mirrored to its last sector', async () => {
  cluster = await Cluster.inSync({ diskBytes: 21 * MIB + 5 * 512, loop: true });
  const { sizeBytes } = await cluster.first.status();
  expect(sizeBytes).toBeGreaterThan(20 * MIB);
  await writeAtBothEnds(512);
});

test('disks with blocks of 4096 bytes are mirrored', async () => {
  const spec = { diskBytes: 21 * MIB, loop: true, loopBlockBytes: 4096 };
  cluster = await Cluster.inSync(spec);
  await writeAtBothEnds(4096);
});

test('disks whose block sizes differ are refused on both nodes, saying what to do', async () => {
  const spec = { diskBytes: 21 * MIB, loop: true, loopBlockBytes: [512, 4096] };
  cluster = await Cluster.up(spec);
  const { first, second } = cluster;
  await until('both say so', async () => {
    const peers = [await first.peer('beta'), await second.peer('alpha')];
    return peers.every(({ reason }) => /block sizes of r0 differ: .*512.*use a disk/.test(reason));
  });
  expect((await first.peer('beta')).connectionState).toBe('StandAlone');
});

async function grow(node: SystemNode, bytes: number): Promise<void> {
  await node.kill9();
  truncateSync(cluster.disk(node), bytes);
  await node.start();
}

test('disks that grew keep size and data, also through a crash just after it', async () => {
  cluster = await Cluster.inSync({ diskBytes: 21 * MIB, tmpfs: true });
  const { first, second } = cluster;
  const { sizeBytes } = await first.status();
  const client = await NbdClient.open(first.socket());
  const data = randomBytes(MIB);
  await client.write(4 * MIB, data);
  await client.close();
  await grow(second, 40 * MIB);
  await cluster.untilInSync();
  await grow(first, 33 * MIB);
  await Promise.all([first.kill9(), second.kill9()]);
  await Promise.all([first.start(), second.start()]);
  await cluster.untilInSync();
  for (const node of cluster.nodes) expect((await node.status()).sizeBytes).toBe(sizeBytes);
  await second.must('promote', 'r0');
  const other = await NbdClient.open(second.socket());
  expect((await other.read(4 * MIB, MIB)).equals(data)).toBe(true);
  await other.write(5 * MIB, data);
  await other.close();
  await cluster.expectIdentical();
});
