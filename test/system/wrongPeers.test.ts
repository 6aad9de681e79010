// Peers that are not what the configuration says: they are refused, both sides say why, and the
// data on both stays as it is.

import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, makeSparseFile, MIB } from '../support/systemCluster';

jest.setTimeout(120_000);

let cluster: Cluster;

afterEach(() => cluster.remove());

test('a peer with another size is refused on both nodes', async () => {
  cluster = await Cluster.prepare({ diskBytes: 16 * MIB, tmpfs: true });
  const { first, second } = cluster;
  makeSparseFile(cluster.disk(second), 24 * MIB);
  await Promise.all([first.start(), second.start()]);
  await cluster.bringUp('r0');
  await until('both say so', async () => {
    const peers = [await first.peer('beta'), await second.peer('alpha')];
    return peers.every((peer) => peer.reason.includes('sizes'));
  });
  expect((await first.peer('beta')).connectionState).toBe('StandAlone');
  await first.must('promote', 'r0', '--force');
});

test('a peer that calls itself by another name is refused', async () => {
  cluster = await Cluster.prepare({ diskBytes: 16 * MIB, tmpfs: true });
  const { first, second } = cluster;
  second.writeConfig(
    'r0',
    cluster.configText(second, 'r0').replace('[node "alpha"]', '[node "gamma"]'),
  );
  await Promise.all([first.start(), second.start()]);
  await cluster.bringUp('r0');
  await until('the second node says so', async () => {
    return (await second.peer('gamma')).reason !== '';
  });
  await until('the first node says so', async () => (await first.peer('beta')).reason !== '');
  const reasons = [(await first.peer('beta')).reason, (await second.peer('gamma')).reason];
  expect(reasons.join(' ')).toMatch(/gamma|alpha/);
  expect((await first.peer('beta')).connectionState).not.toBe('Connected');
});

test('a peer that does not have the resource is told so, and is taken when it has it', async () => {
  cluster = await Cluster.prepare({ resources: ['r0', 'r1'], diskBytes: 16 * MIB, tmpfs: true });
  const { first, second } = cluster;
  await Promise.all([first.start(), second.start()]);
  await cluster.bringUp('r1');
  for (const node of cluster.nodes) await node.must('create-md', 'r0');
  await first.must('up', 'r0');
  await until('the first node says so', async () => {
    return (await first.peer('beta')).reason.includes('r0');
  });
  await second.must('up', 'r0');
  await first.must('promote', 'r0', '--force');
  const client = await NbdClient.open(first.socket());
  await client.write(0, Buffer.alloc(4096, 1));
  await client.close();
  await cluster.untilInSync('r0');
  await cluster.expectIdentical('r0');
});
