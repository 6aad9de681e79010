// The administrator lets a backing disk go under running clients, and attaches it again.

import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import { runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.prepare({ diskBytes: 32 * MIB });
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await cluster.bringUp('r0');
  await cluster.first.must('promote', 'r0', '--force');
  await cluster.untilInSync();
});

afterEach(() => cluster.remove());

test('a Primary is detached and attached again under a client', async () => {
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  await client.write(0, Buffer.alloc(MIB, 1));
  await first.must('detach', 'r0');
  expect(await first.status()).toMatchObject({ role: 'Primary', diskState: 'Diskless' });
  await until('the peer knows', async () => {
    return (await second.status()).peers[0]?.diskState === 'Diskless';
  });
  await client.write(MIB, Buffer.alloc(MIB, 2));
  await client.flush();
  expect((await client.read(0, 2 * MIB))[MIB]).toBe(2);
  await first.must('attach', 'r0');
  await client.write(2 * MIB, Buffer.alloc(MIB, 3));
  await cluster.untilInSync();
  expect((await client.read(MIB, 2 * MIB))[MIB]).toBe(3);
  await client.close();
  await first.must('demote', 'r0');
  for (const node of cluster.nodes) await node.must('down', 'r0');
  const disks = cluster.nodes.map((node) => cluster.disk(node));
  await runOk('cmp', ['--bytes', String(28 * MIB), ...disks]);
});

test('the last good copy is detached by force only', async () => {
  const { first, second } = cluster;
  await second.must('down', 'r0');
  await until('the peer is gone', async () => {
    return (await first.status()).peers[0]?.connectionState !== 'Connected';
  });
  expect(await first.refused('detach', 'r0')).toMatch(/no UpToDate peer serves it/);
  await first.must('detach', 'r0', '--force');
  expect((await first.status()).diskState).toBe('Diskless');
  await first.must('demote', 'r0');
  await first.must('attach', 'r0');
  expect((await first.status()).diskState).toBe('UpToDate');
});
