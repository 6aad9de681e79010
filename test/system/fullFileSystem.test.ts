// The file system under a file-backed copy is full: that copy is detached (or by pass_on the client
// is told), it says so, and nothing that was acknowledged is lost; with room again the copy is
// brought back, under a Primary without its clients noticing. Needs root (a small tmpfs).

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { NbdClient, NbdError } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, makeSparseFile, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { run, runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

const ENOSPC = 28;
const SMALL_BYTES = 24 * MIB;
const LARGE_BYTES = 96 * MIB;
let cluster: Cluster;

afterEach(() => cluster.remove());

/** The node's disk lies on a file system that is smaller than it. */
async function makeDiskOnSmallTmpfs(node: SystemNode): Promise<string> {
  const folder = join(node.folder, 'small');
  mkdirSync(folder);
  await runOk('mount', ['-t', 'tmpfs', '-o', `size=${SMALL_BYTES}`, 'none', folder]);
  cluster.onRemove(() => run('umount', ['--lazy', folder]));
  const disk = join(folder, 'r0.disk');
  makeSparseFile(disk, 64 * MIB);
  node.writeConfig('r0', node.readConfig('r0').replace(cluster.disk(node), disk));
  return folder;
}

async function startWithSmall(which: 0 | 1, options = ''): Promise<string> {
  cluster = await Cluster.prepare({ diskBytes: 64 * MIB });
  for (const node of cluster.nodes) node.writeConfig('r0', options + node.readConfig('r0'));
  const folder = await makeDiskOnSmallTmpfs(cluster.node(which));
  await Promise.all(cluster.nodes.map((node) => node.start()));
  await cluster.bringUp('r0');
  await cluster.first.must('promote', 'r0', '--force');
  return folder;
}

function block(index: number): Buffer {
  return Buffer.alloc(MIB, index + 1);
}

/** Writes until it is refused; the number of MiB that were acknowledged. */
async function fill(node: SystemNode): Promise<number> {
  const client = await NbdClient.open(node.socket());
  let written = 0;
  try {
    for (; written < 48; written++) await client.write(written * MIB, block(written));
  } catch {
    // Refused: what was acknowledged before must be there.
  }
  client.vanish();
  return written;
}

async function expectWritten(node: SystemNode, count: number): Promise<void> {
  const client = await NbdClient.open(node.socket());
  for (let i = 0; i < count; i++) {
    expect((await client.read(i * MIB, MIB)).equals(block(i))).toBe(true);
  }
  await client.close();
}

test('under the Secondary: its copy fails, writing goes on, and it is brought back', async () => {
  const folder = await startWithSmall(1);
  const { first, second } = cluster;
  expect(await fill(first)).toBe(48);
  await until('the copy is given up', async () => {
    return (await second.status()).diskState === 'Diskless';
  });
  expect(second.log()).toMatch(/space/i);
  await expectWritten(first, 48);
  await runOk('mount', ['-o', `remount,size=${LARGE_BYTES}`, folder]);
  await second.must('attach', 'r0');
  await cluster.untilInSync();
  await second.must('down', 'r0');
  await first.must('down', 'r0');
  const disks = [cluster.disk(first), join(folder, 'r0.disk')] as const;
  await runOk('cmp', ['--bytes', String(60 * MIB), ...disks]);
});

test('under the Primary: clients see no error, also when the copy is brought back', async () => {
  const folder = await startWithSmall(0);
  const { first, second } = cluster;
  await until('the first sync is over', async () => {
    return (await second.status()).diskState === 'UpToDate';
  });
  expect(await fill(first)).toBe(48);
  expect(await first.status()).toMatchObject({ role: 'Primary', diskState: 'Diskless' });
  await expectWritten(first, 48);
  await runOk('mount', ['-o', `remount,size=${LARGE_BYTES}`, folder]);
  const client = await NbdClient.open(first.socket());
  await first.must('attach', 'r0');
  for (let i = 0; i < 48; i++) await client.write(i * MIB, block(i + 100));
  await cluster.untilInSync();
  await client.close();
  expect(await first.status()).toMatchObject({ role: 'Primary', diskState: 'UpToDate' });
  await first.must('demote', 'r0');
  await second.must('down', 'r0');
  await first.must('down', 'r0');
  const disks = [join(folder, 'r0.disk'), cluster.disk(second)] as const;
  await runOk('cmp', ['--bytes', String(60 * MIB), ...disks]);
});

test('with pass_on: the client is told, and what was acknowledged is on both', async () => {
  const folder = await startWithSmall(0, '[disk]\non-io-error = pass_on\n');
  const { first, second } = cluster;
  await until('the first sync is over', async () => {
    return (await second.status()).diskState === 'UpToDate';
  });
  const written = await fill(first);
  expect(written).toBeGreaterThan(0);
  expect(written).toBeLessThan(48);
  await expectWritten(first, written);
  const client = await NbdClient.open(first.socket());
  const refused = client.write(40 * MIB, block(40));
  await expect(refused).rejects.toEqual(new NbdError(ENOSPC));
  expect(first.log()).toMatch(/space/i);
  await runOk('mount', ['-o', `remount,size=${LARGE_BYTES}`, folder]);
  await client.write(40 * MIB, block(40));
  await client.close();
});
