// A file system on the mirror: nbdfuse shows the socket as a file, a loop device makes it a disk,
// ext4 lives on it, and after a failover every file is there with its checksum. Needs root, loop
// devices and FUSE.

import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { Background, run, runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.inSync({ diskBytes: 128 * MIB });
});

afterEach(() => cluster.remove());

interface Disk {
  readonly loop: string;
  readonly fuse: Background;
  readonly folder: string;
}

/** The node's device as a loop device. */
async function attach(node: SystemNode): Promise<Disk> {
  const folder = join(cluster.folder, `fuse-${node.name}`);
  mkdirSync(folder);
  const log = join(cluster.folder, `nbdfuse-${node.name}.log`);
  const fuse = Background.start('nbdfuse', [folder, node.uri()], log);
  cluster.onRemove(() => run('fusermount3', ['-uz', folder]));
  cluster.onRemove(() => fuse.kill());
  const file = join(folder, 'nbd');
  await until('nbdfuse shows its file', async () => (await run('test', ['-f', file])).status === 0);
  const loop = (await runOk('losetup', ['--find', '--show', file])).trim();
  cluster.onRemove(() => run('losetup', ['--detach', loop]));
  return { loop, fuse, folder };
}

async function mount(disk: Disk): Promise<string> {
  const place = `${disk.folder}.mnt`;
  mkdirSync(place, { recursive: true });
  await runOk('mount', ['-t', 'ext4', disk.loop, place]);
  cluster.onRemove(() => run('umount', ['--lazy', place]));
  return place;
}

async function writeFiles(place: string): Promise<void> {
  for (let i = 0; i < 40; i++) {
    const folder = join(place, `d${i % 5}`);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `f${i}`), randomBytes(1 + i * 17_011));
  }
  const sums = 'find . -type f ! -name sums -print0 | sort -z | xargs -0 sha256sum > sums';
  await runOk('sh', ['-c', `cd '${place}' && ${sums} && sync`]);
}

test('ext4 on the mirror survives the death of the Primary with every file', async () => {
  const { first, second } = cluster;
  const disk = await attach(first);
  await runOk('mkfs.ext4', ['-q', '-E', 'nodiscard', disk.loop]);
  const place = await mount(disk);
  await writeFiles(place);
  await runOk('sync', ['-f', place]);

  await first.kill9();
  await run('umount', ['--lazy', place]);
  await second.must('promote', 'r0');
  const other = await attach(second);
  const check = await run('fsck.ext4', ['-f', '-p', other.loop]);
  // 1: the journal was replayed or a count put right; more would be damage.
  expect(check.status).toBeLessThanOrEqual(1);
  const survived = await mount(other);
  const sums = await runOk('sh', ['-c', `cd '${survived}' && sha256sum --check --quiet sums`]);
  expect(sums).toBe('');
  await runOk('umount', [survived]);
  expect((await run('fsck.ext4', ['-f', '-n', other.loop])).status).toBe(0);
});
