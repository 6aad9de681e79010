// Two daemons in protocols A and B: verified writing, failover, the way back of the old Primary
// with what only it had given up, and nodes that do not agree on the protocol.

import { AckedWriter } from '../support/ackedWriter';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import { fioVerify, fioWrite, fioWriteAndVerify } from '../support/systemFio';

jest.setTimeout(240_000);

const FIO_BYTES = 48 * MIB;
let cluster: Cluster;

afterEach(() => cluster.remove());

describe.each(['A', 'B'] as const)('protocol %s', (protocol) => {
  test('fio verifies before a switch, after it, after a failover and the resync', async () => {
    const options = `protocol = ${protocol}\n`;
    cluster = await Cluster.inSync({ diskBytes: 64 * MIB, options });
    const { first, second } = cluster;
    expect((await first.status()).protocol).toBe(protocol);
    const spec = { node: first, sizeBytes: FIO_BYTES };
    await fioWriteAndVerify(spec);
    await first.must('demote', 'r0');
    await cluster.expectIdentical();
    await second.must('promote', 'r0');
    await fioVerify({ ...spec, node: second });

    const writer = new AckedWriter({ blocks: 4000, depth: 16 });
    writer.start(await NbdClient.open(second.socket()));
    await until('something is acknowledged', () => writer.acknowledged > 2000);
    await second.kill9();
    await writer.abandon();
    await first.must('promote', 'r0');
    const later = { node: first, sizeBytes: FIO_BYTES, seed: 2 };
    await fioWrite(later);
    await second.start();
    await cluster.untilInSync();
    cluster.expectNoSplitBrain();
    await first.must('demote', 'r0');
    await cluster.expectIdentical();
    await first.must('promote', 'r0');
    await fioVerify(later);
  });
});

test('in protocol B what was acknowledged survives the Primary', async () => {
  cluster = await Cluster.inSync({ diskBytes: 64 * MIB, options: 'protocol = B\n' });
  const { first, second } = cluster;
  const writer = new AckedWriter({ blocks: 2000, depth: 32 });
  writer.start(await NbdClient.open(first.socket()));
  await until('something is acknowledged', () => writer.acknowledged > 3000);
  await first.kill9();
  await writer.abandon();
  await second.must('promote', 'r0');
  const client = await NbdClient.open(second.socket());
  await writer.check(client);
  await client.close();
});

test('in protocol A no write waits for the network', async () => {
  const options = 'protocol = A\n[net]\ntimeout-ms = 60000\n';
  cluster = await Cluster.inSync({ diskBytes: 64 * MIB, forwarded: true, options });
  const client = await NbdClient.open(cluster.first.socket());
  const writer = new AckedWriter({ blocks: 500, depth: 1 });
  for (const link of cluster.allLinks) link.cut();
  writer.start(client);
  await until('it goes on while nothing passes', () => writer.acknowledged > 300, 20_000);
  expect((await cluster.first.peer('beta')).connectionState).toBe('Connected');
  for (const link of cluster.allLinks) link.heal();
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.first.must('demote', 'r0');
  await cluster.expectIdentical();
});

test('nodes with different protocols are refused, and both say which and what to do', async () => {
  cluster = await Cluster.prepare({ diskBytes: 16 * MIB, tmpfs: true });
  const { first, second } = cluster;
  first.writeConfig('r0', cluster.configText(first, 'r0', 'protocol = A\n'));
  second.writeConfig('r0', cluster.configText(second, 'r0', 'protocol = C\n'));
  await Promise.all([first.start(), second.start()]);
  await cluster.bringUp('r0');
  const words = /uses protocol [AC] for r0, (alpha|beta) [AC]: make the configurations equal/;
  await until('both say so', async () => {
    const peers = [await first.peer('beta'), await second.peer('alpha')];
    return peers.every((peer) => words.test(peer.reason));
  });
});
