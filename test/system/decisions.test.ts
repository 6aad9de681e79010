// What an administrator decides about copies: discarding one side of a split brain, and knowing
// first what that costs; declaring a copy old, or giving it up; copies that went back, wrote
// nothing, or belong elsewhere.

import { copyFileSync } from 'node:fs';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.inSync({ tmpfs: true });
});

afterEach(() => cluster.remove());

async function write(
  node: SystemNode,
  offset: number,
  blocks: number,
  byte: number,
): Promise<void> {
  const client = await NbdClient.open(node.socket());
  await client.write(offset, Buffer.alloc(blocks * 4096, byte));
  await client.close();
}

async function readBytes(node: SystemNode, offset: number): Promise<number[]> {
  const client = await NbdClient.open(node.socket());
  const data = await client.read(offset, 4096);
  await client.close();
  return [...new Set(data)];
}

async function part(): Promise<void> {
  await cluster.first.must('disconnect', 'r0');
  await cluster.untilApart();
}

async function untilBothStandAlone(): Promise<void> {
  await until('both nodes stand alone', async () => {
    const peers = [await cluster.first.peer('beta'), await cluster.second.peer('alpha')];
    return peers.every((peer) => peer.connectionState === 'StandAlone');
  });
}

async function demoteUnused(node: SystemNode): Promise<void> {
  await until('it is not in use', async () => (await node.cli('demote', 'r0')).status === 0);
}

test('discard-my-data, right way and wrong way, with a dry run before', async () => {
  const { first, second } = cluster;
  await part();
  await second.must('promote', 'r0');
  await write(first, 0, 3, 1);
  await write(second, 1 << 20, 2, 2);
  await first.must('connect', 'r0');
  await second.must('connect', 'r0');
  await untilBothStandAlone();
  expect(await first.refused('connect', 'r0', '--discard-my-data', '--dry-run')).toMatch(/Primary/);
  expect((await second.cli('connect', 'r0', '--dry-run')).status).toBe(2);
  await demoteUnused(second);
  const told = await second.must('connect', 'r0', '--discard-my-data', '--dry-run');
  expect(told).toMatch(/here: Secondary now, became Primary afterwards, .*; 8 KiB written since/);
  expect(told).toMatch(/on alpha: Primary now, was Primary when they parted; 12 KiB written since/);
  expect(told).toMatch(/throw away the 8 KiB .* copy up to 20 KiB from alpha/);
  expect(told).toMatch(/blkmirror connect r0 alpha --discard-my-data/);
  expect((await second.peer('alpha')).connectionState).toBe('StandAlone');
  expect(await second.must('status', 'r0')).toMatch(/giving up what was written here loses 8 KiB/);
  await second.must('connect', 'r0', '--discard-my-data');
  await cluster.untilInSync();
  await cluster.expectIdentical();
  expect(await readBytes(first, 1 << 20)).toEqual([0]);
  const again = await second.must('connect', 'r0', '--discard-my-data');
  expect(again).toMatch(/connected to alpha: there is no split brain, nothing is discarded/);
});

test('discard-my-data on both nodes discards nothing and says so', async () => {
  const { first, second } = cluster;
  await part();
  await second.must('disconnect', 'r0');
  await second.must('promote', 'r0');
  await write(first, 0, 1, 1);
  await write(second, 0, 1, 2);
  for (const node of cluster.nodes) await demoteUnused(node);
  for (const node of cluster.nodes) await node.must('connect', 'r0', '--discard-my-data');
  await untilBothStandAlone();
  expect((await first.peer('beta')).reason).toMatch(/both alpha and beta were told to discard/);
  await first.must('promote', 'r0');
  expect(await readBytes(first, 0)).toEqual([1]);
});

test('nodes whose policies differ refuse each other, naming both', async () => {
  const { first, second } = cluster;
  const options = '[net]\nafter-sb-0pri = discard-local\n';
  await second.must('down', 'r0');
  for (const node of cluster.nodes) node.writeConfig('r0', cluster.configText(node, 'r0', options));
  first.reload();
  await second.must('up', 'r0');
  await untilBothStandAlone();
  for (const [node, peer] of [
    [first, 'beta'],
    [second, 'alpha'],
  ] as const) {
    const { reason } = await node.peer(peer);
    expect(reason).toMatch(/(alpha|beta) has after-sb-0pri = .* for r0, (alpha|beta) .* equal/);
  }
});

test('outdate: an Outdated copy is promoted only with --force, until it is resynced', async () => {
  const { first, second } = cluster;
  expect(await first.refused('outdate', 'r0')).toMatch(/Primary here: demote it/);
  expect(await second.refused('outdate', 'r0')).toMatch(/connected to alpha.*disconnect r0 first/);
  await part();
  await second.must('disconnect', 'r0');
  await second.must('outdate', 'r0');
  await second.must('outdate', 'r0');
  expect((await second.status()).diskState).toBe('Outdated');
  expect(await second.refused('promote', 'r0')).toMatch(/Outdated: .*--force/);
  await second.must('down', 'r0');
  await second.must('up', 'r0');
  await until('it is still Outdated or resynced', async () => {
    return ['Outdated', 'UpToDate'].includes((await second.status()).diskState);
  });
  await first.must('connect', 'r0');
  await cluster.untilInSync();
  await demoteUnused(first);
  await second.must('promote', 'r0');
});

test('invalidate and invalidate-remote copy everything anew, or are refused', async () => {
  const { first, second } = cluster;
  await write(first, 0, 4, 7);
  expect(await first.refused('invalidate', 'r0')).toMatch(/Primary here: demote it/);
  expect(await second.refused('invalidate-remote', 'r0')).toMatch(/alpha is Primary.*demote it/);
  await second.must('invalidate', 'r0');
  await cluster.untilInSync();
  await first.must('invalidate-remote', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
  await part();
  expect(await first.refused('invalidate-remote', 'r0')).toMatch(/beta is not connected/);
  expect(await second.refused('invalidate', 'r0')).toMatch(/no UpToDate peer of r0 is connected/);
  expect((await second.status()).diskState).toBe('UpToDate');
});

test('revert-older-data: a restored snapshot is refused on both, and taken back', async () => {
  const { first, second } = cluster;
  const disk = cluster.disk(second);
  await second.must('down', 'r0');
  copyFileSync(disk, `${disk}.snapshot`);
  await second.must('up', 'r0');
  await cluster.untilInSync();
  await write(first, 0, 8, 5);
  await second.must('down', 'r0');
  copyFileSync(`${disk}.snapshot`, disk);
  // Attached several times, its number is beyond what the other remembers of it.
  await first.must('disconnect', 'r0');
  for (let round = 0; round < 3; round++) {
    await second.must('up', 'r0');
    await second.must('down', 'r0');
  }
  await second.must('up', 'r0');
  await first.must('connect', 'r0');
  await untilBothStandAlone();
  expect((await first.peer('beta')).reason).toMatch(/^reverted: the copy of r0 on beta /);
  expect((await second.peer('alpha')).reason).toMatch(/^reverted: .*resync r0 --full on beta/);
  await second.must('resync', 'r0', '--full', '--wait');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('one side wrote nothing: it takes over what the other wrote', async () => {
  const { first, second } = cluster;
  await part();
  await second.must('promote', 'r0');
  await write(first, 0, 2, 3);
  await demoteUnused(second);
  await first.must('connect', 'r0');
  await second.must('connect', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('lost-primary-after-no-writes: the other goes on, and the first comes back', async () => {
  const { first, second } = cluster;
  await first.kill9();
  await until('beta misses it', async () => {
    return (await second.peer('alpha')).connectionState !== 'Connected';
  });
  await second.must('promote', 'r0');
  await write(second, 0, 2, 4);
  await first.start();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  expect((await first.status()).role).toBe('Secondary');
});
