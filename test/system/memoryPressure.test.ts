// Both nodes on one host over loopback, loop devices as backing disks, and a file system on the
// mirror, with the writer and both daemons in one memory-limited cgroup: dirty pages of eight
// times the limit go through without a deadlock, and sync ends. The original of 1999 hung here.
// nbdfuse, which stands for the kernel's nbd, is outside: it is not made for this, and would wait
// for memory that only itself can free. Needs root, loop devices and FUSE.

import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MemoryCgroup } from '../support/memoryCgroup';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import { fioWriteAndVerify } from '../support/systemFio';
import { Background, run, runOk } from '../support/systemProcess';

jest.setTimeout(240_000);

const LIMIT_BYTES = 256 * MIB;
const FILE_BYTES = 512 * MIB;
const ROUNDS = 4;
const CAP_SYS_RESOURCE = 24n;

let cluster: Cluster;

// Not at the end of a test: one that hangs is cleaned up as well.
afterEach(() => cluster.remove());

test('loop devices as backing disks on both nodes mirror and resync', async () => {
  cluster = await Cluster.inSync({ loop: true });
  await fioWriteAndVerify({ node: cluster.first, sizeBytes: 48 * MIB });
  await cluster.second.kill9();
  await fioWriteAndVerify({ node: cluster.first, sizeBytes: 48 * MIB, seed: 2 });
  await cluster.second.start();
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('dirty pages of eight times the memory go through the mirror', async () => {
  const group = MemoryCgroup.create(LIMIT_BYTES);
  const diskBytes = FILE_BYTES + 128 * MIB;
  const inside = mayMarkThreads();
  cluster = await Cluster.inSync({ diskBytes, loop: true, wrapper: inside ? group.wrapper : [] });
  cluster.onRemove(() => group.remove());
  const place = await mountMirror();
  const before = group.limitReached;
  for (let round = 0; round < ROUNDS; round++) {
    await writeInside(group, join(place, `file${round % 2}`));
  }
  await runOk('sync', ['-f', place], { deadlineMs: 120_000 });
  expect(group.limitReached).toBeGreaterThan(before);
  expect(cluster.nodes.map((node) => group.pids.includes(node.pid))).toEqual([inside, inside]);
  await runOk('umount', [place], { deadlineMs: 60_000 });
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

function mayMarkThreads(): boolean {
  const [, mask] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return mask !== undefined && ((BigInt(`0x${mask}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
}

async function mountMirror(): Promise<string> {
  const fuse = join(cluster.folder, 'fuse');
  const place = join(cluster.folder, 'mnt');
  mkdirSync(fuse);
  mkdirSync(place);
  const log = join(cluster.folder, 'nbdfuse.log');
  const nbdfuse = Background.start('nbdfuse', [fuse, cluster.first.uri()], log);
  cluster.onRemove(() => nbdfuse.kill());
  cluster.onRemove(() => run('fusermount3', ['-uz', fuse]));
  const file = join(fuse, 'nbd');
  await until('nbdfuse shows its file', async () => (await run('test', ['-f', file])).status === 0);
  const loop = (await runOk('losetup', ['--find', '--show', file])).trim();
  cluster.onRemove(() => run('losetup', ['--detach', loop]));
  await runOk('mkfs.ext4', ['-q', '-O', '^has_journal', '-E', 'nodiscard', loop]);
  await runOk('mount', ['-t', 'ext4', loop, place]);
  cluster.onRemove(() => run('umount', ['--lazy', place]));
  return place;
}

/** Through the page cache, as fast as it goes. */
async function writeInside(group: MemoryCgroup, file: string): Promise<void> {
  const [shell = 'sh', ...words] = group.wrapper;
  const size = String(FILE_BYTES / MIB / 2);
  const dd = ['dd', 'if=/dev/urandom', `of=${file}`, 'bs=1M', `count=${size}`, 'conv=notrunc'];
  for (let half = 0; half < 2; half++) {
    await runOk(shell, [...words, ...dd], { deadlineMs: 120_000 });
  }
}
