// A Primary that is SyncTarget loses its source for a while: its clients wait, nothing parts.

import { fioWriteAndVerify } from '../support/systemFio';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';

jest.setTimeout(180_000);

const DEVICE_BYTES = 24 * MIB;
const SLOW_BYTES_PER_SECOND = 4 * MIB;
let cluster: Cluster;

/** Beta is Primary and lacks most of the data, which comes slowly from alpha. */
beforeEach(async () => {
  const options = '[net]\ntimeout-ms = 30000';
  cluster = await Cluster.inSync({ forwarded: true, tmpfs: true, diskBytes: 32 * MIB, options });
  const { first, second } = cluster;
  await second.call('r0', 'Disconnect');
  await cluster.untilApart();
  const client = await NbdClient.open(first.socket());
  for (let offset = 0; offset < DEVICE_BYTES; offset += MIB) {
    await client.write(offset, Buffer.alloc(MIB, offset / MIB + 1));
  }
  await client.close();
  await first.must('demote', 'r0');
  for (const link of cluster.allLinks) link.bytesPerSecond = SLOW_BYTES_PER_SECOND;
  await second.call('r0', 'Connect');
  await until('the resync runs', async () => {
    return (await second.peer('alpha')).replicationState === 'SyncTarget';
  });
  await second.must('promote', 'r0', '--force');
});

afterEach(() => cluster.remove());

/** Connections end and no new one comes through. */
function cut(): void {
  for (const link of cluster.allLinks) {
    link.cut();
    link.reset();
  }
}

function heal(): void {
  for (const link of cluster.allLinks) {
    link.bytesPerSecond = Infinity;
    link.reset();
    link.heal();
  }
}

async function untilSuspended(): Promise<string> {
  const { second } = cluster;
  await until('it waits', async () => (await second.status()).suspendedReason !== '');
  return (await second.status()).suspendedReason;
}

test('under fio, the link is cut and restored: no split brain, identical copies', async () => {
  const { second } = cluster;
  const before = (await second.status()).currentUuid;
  const writing = fioWriteAndVerify({ node: second, sizeBytes: DEVICE_BYTES, seed: 77 });
  const failed = writing.then(
    () => undefined,
    (error: unknown) => error,
  );
  await until('fio has written', async () => (await second.peer('alpha')).outOfSyncBytes !== 0);
  cut();
  expect(await untilSuspended()).toMatch(/^waits for alpha: .*promote r0 --force/);
  expect((await second.status()).diskState).toBe('Inconsistent');
  expect(await second.must('status', 'r0')).toContain('waits for alpha');
  expect(second.log()).toContain('waits for alpha');
  heal();
  expect(await failed).toBeUndefined();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  cluster.expectNoSplitBrain();
  expect((await second.status()).currentUuid).not.toBe(before);
});

test('what is in sync is read meanwhile, and a forced promotion goes on alone', async () => {
  const { second } = cluster;
  const client = await NbdClient.open(second.socket());
  await client.write(0, Buffer.alloc(4096, 99));
  await until('the start is copied', async () => {
    const { resyncDonePercent } = await second.peer('alpha');
    return (resyncDonePercent ?? 0) > 20;
  });
  cut();
  await untilSuspended();
  expect((await client.read(0, 4096)).equals(Buffer.alloc(4096, 99))).toBe(true);
  const write = client.write(MIB, Buffer.alloc(4096, 98));
  await second.must('promote', 'r0', '--force');
  await write;
  expect((await client.read(MIB, 4096)).equals(Buffer.alloc(4096, 98))).toBe(true);
  await client.close();
  expect((await second.status()).diskState).toBe('UpToDate');
  heal();
  await until('both say split brain', async () => {
    const peers = await Promise.all([cluster.first.peer('beta'), second.peer('alpha')]);
    return peers.every((peer) => peer.reason.startsWith('split brain'));
  });
});
