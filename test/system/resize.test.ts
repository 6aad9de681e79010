// A mirror that is down grows onto disks that have grown: the data stays, what is new is resynced,
// and what is refused says what to do.

import { randomBytes } from 'node:crypto';
import { truncateSync } from 'node:fs';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

let cluster: Cluster;

afterEach(() => cluster.remove());

async function sizeOf(node: SystemNode): Promise<number> {
  return (await node.status()).sizeBytes ?? 0;
}

function resize(node: SystemNode, ...words: string[]): string[] {
  return ['resize', 'r0', '--state-dir', node.stateDir, ...words];
}

async function downEverywhere(): Promise<void> {
  for (const node of cluster.nodes) await node.must('down', 'r0');
}

/** Of the loop device, too, where there is one. */
async function growDisk(node: SystemNode, bytes: number, file: string): Promise<void> {
  truncateSync(file, bytes);
  const disk = cluster.disk(node);
  if (disk !== file) await runOk('losetup', ['--set-capacity', disk]);
}

/** Writes where the device ends now; the other node has it after a failover. */
async function useTheEnd(sizeBytes: number, old: Buffer): Promise<void> {
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  expect(client.sizeBytes).toBe(sizeBytes);
  const data = randomBytes(64 * 1024);
  await client.write(sizeBytes - data.length, data);
  await client.close();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  await first.must('demote', 'r0');
  await second.must('promote', 'r0');
  const other = await NbdClient.open(second.socket());
  expect((await other.read(sizeBytes - data.length, data.length)).equals(data)).toBe(true);
  expect((await other.read(0, old.length)).equals(old)).toBe(true);
  await other.close();
}

test.each([true, false])(
  'a mirror grows onto disks that grew, and keeps its data (loop devices: %s)',
  async (loop) => {
    cluster = await Cluster.inSync({ diskBytes: 21 * MIB, tmpfs: true, loop });
    const { first, second } = cluster;
    const before = await sizeOf(first);
    const data = randomBytes(before);
    const client = await NbdClient.open(first.socket());
    for (let at = 0; at < before; at += MIB) await client.write(at, data.subarray(at, at + MIB));
    await client.close();
    await downEverywhere();
    for (const node of cluster.nodes) {
      const bytes = node === first ? 48 * MIB : 33 * MIB;
      await growDisk(node, bytes, `${node.folder}/r0.disk`);
    }
    const told = await second.must(...resize(second));
    const size = /resize r0 --size ([0-9]+)/.exec(told)?.[1] ?? '';
    expect(Number(size)).toBeGreaterThan(32 * MIB);
    await first.must(...resize(first, '--size', size));
    await second.must('up', 'r0');
    // Only what is new has to be copied.
    const { outOfSyncBytes } = await second.peer('alpha');
    expect(outOfSyncBytes).toBeGreaterThanOrEqual(Number(size) - before);
    expect(outOfSyncBytes).toBeLessThan(Number(size) - before + 8192);
    await first.must('up', 'r0');
    await first.must('promote', 'r0');
    await cluster.untilInSync();
    await useTheEnd(Number(size), data);
  },
);

test('what resize refuses it leaves alone, and says what to do', async () => {
  cluster = await Cluster.inSync({ diskBytes: 21 * MIB, tmpfs: true });
  const { first, second } = cluster;
  const before = await sizeOf(first);
  expect(await first.refused(...resize(first))).toMatch(/down on every node: run down r0/);
  await second.kill9();
  truncateSync(cluster.disk(second), 40 * MIB);
  expect(await second.refused(...resize(second))).toMatch(/not end cleanly.*up r0.*down r0/);
  await second.start();
  await cluster.untilInSync();
  await downEverywhere();
  expect(await first.refused(...resize(first))).toMatch(/not larger than before/);
  expect(await second.refused(...resize(second, '--size', '1M'))).toMatch(/not larger/);
  expect(await second.refused(...resize(second, '--size', '41M'))).toMatch(/no room/);
  expect(await second.refused(...resize(second, '--size', 'all'))).toMatch(/such as 100G/);
  await first.must('up', 'r0');
  await second.must('up', 'r0');
  await cluster.untilInSync();
  expect(await sizeOf(second)).toBe(before);
});

test('a node that was not resized yet is told how, and follows', async () => {
  cluster = await Cluster.inSync({ diskBytes: 21 * MIB, tmpfs: true });
  const { first, second } = cluster;
  await downEverywhere();
  for (const node of cluster.nodes) truncateSync(cluster.disk(node), 40 * MIB);
  await first.must(...resize(first));
  await first.must('up', 'r0');
  await first.must('promote', 'r0');
  const data = randomBytes(MIB);
  const client = await NbdClient.open(first.socket());
  const end = client.sizeBytes - MIB;
  await client.write(end, data);
  await client.close();
  await second.must('up', 'r0');
  let reason = '';
  await until('the second node says so', async () => {
    ({ reason } = await second.peer('alpha'));
    return reason.includes('sizes');
  });
  const words = /resize --size ([0-9]+) and up there/.exec(reason);
  expect(words?.[1]).toBe(String(end + MIB));
  await second.must('down', 'r0');
  await second.must(...resize(second, '--size', words?.[1] ?? ''));
  await second.must('up', 'r0');
  await first.must('connect', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});
