// Two daemons mirror a device: the first sync, verified writing, failover, and the way back.

import { AckedWriter } from '../support/ackedWriter';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import { fioVerify, fioWrite, fioWriteAndVerify } from '../support/systemFio';

jest.setTimeout(180_000);

const FIO_BYTES = 96 * MIB;
let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.up({ diskBytes: 128 * MIB });
});

afterEach(() => cluster.remove());

test('fresh copies are Inconsistent and fully out of sync until promote --force', async () => {
  const { first } = cluster;
  await until('both are connected', async () => {
    return (await first.peer('beta')).connectionState === 'Connected';
  });
  const before = await first.status();
  expect(before).toMatchObject({ role: 'Secondary', diskState: 'Inconsistent', nbdSocket: null });
  expect(before.peers[0]?.outOfSyncBytes).toBeGreaterThanOrEqual(before.sizeBytes ?? Infinity);
  expect(await first.refused('promote', 'r0')).toMatch(/Inconsistent.*--force/);
  await first.must('promote', 'r0', '--force');
  await cluster.untilInSync();
  await cluster.expectIdentical();
  const after = JSON.parse(await first.must('status', '--json')) as unknown;
  expect(after).toMatchObject([
    {
      name: 'r0',
      role: 'Primary',
      diskState: 'UpToDate',
      nbdSocket: first.socket(),
      protocol: 'C',
      suspended: false,
      peers: [
        {
          name: 'beta',
          connectionState: 'Connected',
          replicationState: 'Established',
          role: 'Secondary',
          diskState: 'UpToDate',
          outOfSyncBytes: 0,
        },
      ],
    },
  ]);
});

test('fio verifies before failover, after it, and after the resync', async () => {
  const { first, second } = cluster;
  await first.must('promote', 'r0', '--force');
  const spec = { node: first, sizeBytes: FIO_BYTES };
  await fioWriteAndVerify(spec);
  await cluster.untilInSync();
  await cluster.expectIdentical();

  await first.kill9();
  await second.must('promote', 'r0');
  await fioVerify({ ...spec, node: second });

  const later = { node: second, sizeBytes: FIO_BYTES, seed: 2 };
  await fioWrite(later);
  await first.start();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  await second.must('demote', 'r0');
  await first.must('promote', 'r0');
  await fioVerify({ ...later, node: first });
});

test('no acknowledged write is lost when the Primary is killed', async () => {
  const { first, second } = cluster;
  await first.must('promote', 'r0', '--force');
  await cluster.untilInSync();
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

test('a returning Primary becomes Secondary and resyncs while writing goes on', async () => {
  const { first, second } = cluster;
  await first.must('promote', 'r0', '--force');
  await cluster.untilInSync();
  await first.kill9();
  await second.must('promote', 'r0');
  const client = await NbdClient.open(second.socket());
  const writer = new AckedWriter({ blocks: 8000, depth: 16 });
  writer.start(client);
  await until('it is written to without the peer', () => writer.acknowledged > 5000);
  expect((await second.peer('alpha')).outOfSyncBytes).toBeGreaterThan(0);
  await first.start();
  await cluster.untilInSync();
  expect(await first.status()).toMatchObject({ role: 'Secondary', diskState: 'UpToDate' });
  const atTheEnd = writer.acknowledged;
  await until('writing goes on', () => writer.acknowledged > atTheEnd + 100);
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});
