// Metadata that rots, moves and comes back, and copies that begin with data: real daemons, and the
// command line without one. At the end the copies are identical, or nobody served them.

import { closeSync, copyFileSync, openSync, truncateSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { run, runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

const BYTES = 64 * MIB;
const PAGE = 4096;
let cluster: Cluster;

afterEach(() => cluster.remove());

function overwrite(file: string, offset: number, bytes: Buffer): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, bytes, 0, bytes.length, offset);
  closeSync(descriptor);
}

async function write(node: SystemNode, pattern: string, offset: string): Promise<void> {
  const words = ['-t', 'none', '-f', 'raw', '-c', `write -P ${pattern} ${offset} 64k`];
  await runOk('qemu-io', [...words, node.uri()]);
}

function field(dump: string, key: string): number {
  return Number(new RegExp(`^${key} = ([0-9]+)$`, 'm').exec(dump)?.[1]);
}

test('after a crash and rot in every area repair-md makes the metadata usable', async () => {
  cluster = await Cluster.inSync({ diskBytes: BYTES });
  const { first, second } = cluster;
  await write(first, '0x11', '1M');
  await second.kill9();
  await write(first, '0x22', '9M');
  const disk = cluster.disk(second);
  const dump = await second.must('dump-md', 'r0');
  for (const area of ['activity-log', 'bitmap-states', 'superblocks']) {
    overwrite(disk, field(dump, `${area}-offset`) + 300, Buffer.from('rot'));
  }
  const told = await second.must('repair-md', 'r0');
  expect(told).toMatch(/superblock 1 of 2: .*written anew/);
  expect(told).toMatch(/one damaged activity-log page/);
  expect(told).toMatch(/one damaged bitmap page/);
  await second.start();
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('both superblocks rotten: up is refused, repair-md too, a dump brings it back', async () => {
  cluster = await Cluster.inSync({ diskBytes: BYTES });
  const { first, second } = cluster;
  const disk = cluster.disk(second);
  expect(await second.refused('dump-md', 'r0')).toMatch(/in use.*--force/);
  expect(await second.refused('repair-md', 'r0')).toMatch(/in use/);
  await second.must('down', 'r0');
  const file = join(cluster.folder, 'dump');
  writeFileSync(file, await second.must('dump-md', 'r0'));
  await write(first, '0x33', '5M');
  overwrite(disk, BYTES - 2 * PAGE, Buffer.alloc(2 * PAGE, 0x5a));
  expect(await second.refused('up', 'r0')).toMatch(/no blkmirror metadata/);
  expect(await second.refused('repair-md', 'r0')).toMatch(/restore-md.*create-md r0 --force/);
  expect(await second.refused('restore-md', 'r0', `${file}.not`)).toMatch(/cannot read/);
  await second.must('restore-md', 'r0', file);
  await second.must('up', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('a restored copy of disk and metadata is refused as reverted', async () => {
  cluster = await Cluster.inSync({ diskBytes: BYTES });
  const { first, second } = cluster;
  const disk = cluster.disk(second);
  await second.must('down', 'r0');
  copyFileSync(disk, `${disk}.old`);
  await second.must('up', 'r0');
  await cluster.untilInSync();
  await write(first, '0x44', '3M');
  await second.must('down', 'r0');
  copyFileSync(`${disk}.old`, disk);
  await second.must('up', 'r0');
  await cluster.untilApart();
  await second.must('resync', 'r0', '--full');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('an adopted file system is there, whole, on the other node after failover', async () => {
  cluster = await Cluster.prepare({ diskBytes: BYTES });
  const { first, second } = cluster;
  const disk = cluster.disk(first);
  await runOk('mkfs.ext4', ['-q', '-L', 'kept', disk]);
  expect(await first.refused('create-md', 'r0', '--adopt')).toMatch(
    /ext4 .*ends at 67108864, and metadata would begin at [0-9]+; shrink it by at least [0-9]+/,
  );
  for (const node of cluster.nodes) truncateSync(cluster.disk(node), BYTES + MIB);
  await first.must('create-md', 'r0', '--adopt');
  await second.must('create-md', 'r0');
  for (const node of cluster.nodes) await node.start();
  for (const node of cluster.nodes) await node.up('r0');
  await first.must('promote', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
  await first.kill9();
  await second.must('promote', 'r0');
  const checked = await run('e2fsck', ['-fn', cluster.disk(second)]);
  expect(checked.status).toBe(0);
  expect(checked.stdout).toContain('kept');
});

test('empty disks taken for equal need no resync, and one created anew later does', async () => {
  cluster = await Cluster.prepare({ diskBytes: BYTES });
  const { first, second } = cluster;
  const create = ['create-md', 'r0', '--skip-initial-sync', '--zero'];
  for (const node of cluster.nodes) await node.must(...create);
  for (const node of cluster.nodes) await node.start();
  for (const node of cluster.nodes) await node.up('r0');
  await cluster.untilInSync();
  await first.must('promote', 'r0');
  await write(first, '0x55', '7M');
  await cluster.untilInSync();
  await cluster.expectIdentical();
  // The other disk is replaced, and called equal although it is not: never believed.
  await second.must('down', 'r0');
  await second.must(...create, '--force');
  await second.must('up', 'r0');
  await until('the copies are refused', async () => {
    return (await first.peer('beta')).connectionState === 'StandAlone';
  });
  await second.must('resync', 'r0', '--full');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});
