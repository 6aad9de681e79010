// One Primary and two Secondaries.

import { AckedWriter } from '../support/ackedWriter';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import { fioVerify, fioWriteAndVerify } from '../support/systemFio';
import { MIB } from '../support/systemCluster';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.inSync({ nodes: ['alpha', 'beta', 'gamma'] });
});

afterEach(() => cluster.remove());

test('three nodes mirror what fio writes and each can take over', async () => {
  const spec = { node: cluster.first, sizeBytes: 48 * MIB };
  await fioWriteAndVerify(spec);
  await cluster.expectIdentical();
  for (const node of cluster.nodes) {
    for (const other of cluster.nodes) await other.must('demote', 'r0');
    await node.must('promote', 'r0');
    await fioVerify({ ...spec, node });
  }
});

test('one Secondary after the other misses writes and is brought back', async () => {
  const [first, second, third] = [cluster.node(0), cluster.node(1), cluster.node(2)];
  const client = await NbdClient.open(first.socket());
  const writer = new AckedWriter({ blocks: 4000, depth: 16 });
  writer.start(client);
  for (const node of [second, third]) {
    await node.kill9();
    const now = writer.acknowledged;
    await until('writing goes on', () => writer.acknowledged > now + 1000);
    await node.start();
    await until(`${node.name} is in sync`, async () => {
      const peer = await first.peer(node.name);
      return peer.diskState === 'UpToDate' && peer.outOfSyncBytes === 0;
    });
  }
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});
