// A resync that is killed at any point goes on where it was and ends with identical copies. The
// points are bytes of what it copies, from the middle of the first block to that of the last.

import { randomBytes } from 'node:crypto';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { ResyncTrip, Trip } from '../support/systemTrip';

jest.setTimeout(180_000);

const WRITTEN_BYTES = 16 * MIB;
const SEED = 20_261;
let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.inSync({ forwarded: true, tmpfs: true, diskBytes: 32 * MIB });
});

afterEach(() => cluster.remove());

/** Both nodes are apart and the Primary has changed every other MiB of the device's start. */
async function partAndWrite(): Promise<void> {
  await cluster.second.call('r0', 'Disconnect');
  await cluster.untilApart();
  const client = await NbdClient.open(cluster.first.socket());
  for (let offset = 0; offset < WRITTEN_BYTES; offset += MIB) {
    await client.write(offset, randomBytes(MIB));
  }
  await client.close();
}

/** Resolves when that much has gone through the network, or been copied. */
function setTrip(limitBytes: number, Kind: typeof Trip | typeof ResyncTrip = Trip): Promise<void> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(() => reject(new Error('the point was not reached')), 15_000);
    const trip = new Kind(limitBytes, () => {
      clearTimeout(late);
      resolve();
    });
    for (const link of cluster.allLinks) link.trip = trip;
  });
}

function healNetwork(): void {
  for (const link of cluster.allLinks) {
    link.trip = undefined;
    link.reset();
  }
}

/** Bytes that go through the network from now until the copies are in sync. */
async function countUntilInSync(): Promise<number> {
  const trip = new Trip(Infinity, () => undefined);
  for (const link of cluster.allLinks) link.trip = trip;
  await cluster.untilInSync();
  return trip.passedBytes;
}

/** 16 points from the seed, none in the first or the last block. */
function pointsBetween(): number[] {
  let state = SEED;
  return Array.from({ length: 16 }, () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return 4096 + Math.floor((state / 2 ** 32) * (WRITTEN_BYTES - 8192));
  });
}

test('killed at any of 16 points, the resync goes on and ends with identical copies', async () => {
  for (const [index, point] of pointsBetween().entries()) {
    await killAt(point, index % 4 === 3 ? cluster.first : cluster.second);
  }
});

test.each([
  ['first', 2048],
  ['last', WRITTEN_BYTES - 2048],
])('killed at the %s block, source or target, the resync goes on', async (_which, point) => {
  await killAt(point, cluster.second);
  await killAt(point, cluster.first);
});

async function killAt(point: number, victim: SystemNode): Promise<void> {
  const { first, second } = cluster;
  await partAndWrite();
  expect((await first.peer('beta')).outOfSyncBytes).toBe(WRITTEN_BYTES);
  const tripped = setTrip(point, ResyncTrip);
  await second.call('r0', 'Connect');
  await tripped;
  await victim.kill9();
  healNetwork();
  await victim.start();
  if (victim === first) await first.call('r0', 'Promote');
  await cluster.untilInSync();
  await cluster.expectIdentical();
}

test('a resync that lost its connection in the middle copies only the rest', async () => {
  await partAndWrite();
  const tripped = setTrip(WRITTEN_BYTES * 0.7);
  await cluster.second.call('r0', 'Connect');
  await tripped;
  healNetwork();
  const rest = await countUntilInSync();
  expect(rest).toBeGreaterThan(WRITTEN_BYTES * 0.2);
  expect(rest).toBeLessThan(WRITTEN_BYTES * 0.65);
  await cluster.expectIdentical();
});

test('down in the middle of a resync, then up, copies only the rest', async () => {
  await partAndWrite();
  const tripped = setTrip(WRITTEN_BYTES * 0.7);
  await cluster.second.call('r0', 'Connect');
  await tripped;
  await cluster.second.down('r0');
  healNetwork();
  const rest = await countUntilUp();
  expect(rest).toBeLessThan(WRITTEN_BYTES * 0.65);
  await cluster.expectIdentical();
});

async function countUntilUp(): Promise<number> {
  const trip = new Trip(Infinity, () => undefined);
  for (const link of cluster.allLinks) link.trip = trip;
  await cluster.second.up('r0');
  await cluster.untilInSync();
  return trip.passedBytes;
}

test('resync --full on the Secondary copies everything, and --wait waits for it', async () => {
  const { second } = cluster;
  const counted = new Trip(Infinity, () => undefined);
  for (const link of cluster.allLinks) link.trip = counted;
  await second.must('resync', 'r0', '--full', '--wait');
  const { sizeBytes } = await second.status();
  expect(counted.passedBytes).toBeGreaterThan(sizeBytes ?? Infinity);
  expect((await second.status()).diskState).toBe('UpToDate');
  await cluster.expectIdentical();
});

test('resync on the Primary is refused without --to, and copies with it', async () => {
  const { first } = cluster;
  expect(await first.refused('resync', 'r0')).toMatch(/Primary.*--to/);
  await first.must('resync', 'r0', '--full', '--to', 'beta', '--wait');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('a Primary that is SyncTarget reads what it lacks from its peer', async () => {
  const { first, second } = cluster;
  await partAndWrite();
  const before = await readAll(first.socket());
  await first.must('demote', 'r0');
  const tripped = setTrip(WRITTEN_BYTES * 0.3);
  await second.call('r0', 'Connect');
  await tripped;
  for (const link of cluster.allLinks) link.cut();
  healNetwork();
  for (const link of cluster.allLinks) link.heal();
  await until('the target is connected', async () => {
    return (await second.peer('alpha')).connectionState === 'Connected';
  });
  await second.must('promote', 'r0', '--force');
  const seen = await readAll(second.socket());
  expect(seen.equals(before)).toBe(true);
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

async function readAll(socket: string): Promise<Buffer> {
  const client = await NbdClient.open(socket);
  const data = await client.read(0, WRITTEN_BYTES);
  await client.close();
  return data;
}
