// create-md --adopt on block devices: what is on them is measured in their own units, and is whole
// on the other node after a failover.

import { truncateSync } from 'node:fs';
import { Cluster, MIB } from '../support/systemCluster';
import type { ClusterSpec } from '../support/systemCluster';
import { run, runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

const BYTES = 64 * MIB;
let cluster: Cluster;

afterEach(() => cluster.remove());

/** Both disks are loop devices, which grow behind what was put on the first one. */
async function prepare(spec: ClusterSpec = {}): Promise<string> {
  cluster = await Cluster.prepare({ diskBytes: BYTES, loop: true, ...spec });
  return cluster.disk(cluster.first);
}

async function grow(): Promise<void> {
  for (const node of cluster.nodes) {
    truncateSync(`${node.folder}/r0.disk`, BYTES + MIB);
    await runOk('losetup', ['--set-capacity', cluster.disk(node)]);
  }
}

/** The first node adopts its disk, the second gets it, and is Primary when the first has died. */
async function adoptAndFailOver(): Promise<void> {
  const { first, second } = cluster;
  await first.must('create-md', 'r0', '--adopt');
  await second.must('create-md', 'r0');
  for (const node of cluster.nodes) await node.start();
  for (const node of cluster.nodes) await node.up('r0');
  await first.must('promote', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
  await first.kill9();
  await second.must('promote', 'r0');
}

test('an LVM physical volume must leave room, and is adopted when it does', async () => {
  const disk = await prepare();
  const lvm = ['--config', 'global{locking_type=1} devices{use_devicesfile=0}', '-y'];
  await runOk('pvcreate', ['-q', ...lvm, disk]);
  const refused = await cluster.first.refused('create-md', 'r0', '--adopt');
  expect(refused).toMatch(/LVM2_member .*ends at 67108864, and metadata would begin at [0-9]+;/);
  await grow();
  await adoptAndFailOver();
  const found = await run('blkid', ['--probe', '-o', 'export', cluster.disk(cluster.second)]);
  expect(found.stdout).toContain('TYPE=LVM2_member');
});

test('partitions of a disk with blocks of 4096 bytes are counted in those', async () => {
  const disk = await prepare({ loopBlockBytes: 4096 });
  // Behind it there is no room for metadata; in sectors of 512 bytes there would be.
  const table = 'label: dos\n256,16128\n';
  await runOk('sh', ['-c', `printf '${table}' | sfdisk -q --no-reread --no-tell-kernel ${disk}`]);
  const refused = await cluster.first.refused('create-md', 'r0', '--adopt');
  expect(refused).toMatch(/partition table \(dos\) that ends at 67108864, and metadata/);
  await grow();
  await adoptAndFailOver();
});
