// Backing disks that cannot be used: nothing is attached, nothing is overwritten, and the message
// says why and what to do.

import { createHash } from 'node:crypto';
import { copyFileSync, openSync, readFileSync, truncateSync, writeSync, closeSync } from 'node:fs';
import { Cluster, makeSparseFile, MIB } from '../support/systemCluster';
import { run, runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

/** What a superblock begins with; its version follows. */
const MAGIC = 'BLKMIRR1';
let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.prepare({ diskBytes: 16 * MIB });
  await cluster.first.start();
});

afterEach(() => cluster.remove());

function disk(): string {
  return cluster.disk(cluster.first);
}

function sumOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex');
}

async function expectUntouched(refuse: () => Promise<void>): Promise<void> {
  const before = sumOf(disk());
  await refuse();
  expect(sumOf(disk())).toBe(before);
  expect(await cluster.first.devices()).toEqual([]);
}

test('a disk without metadata is refused, naming create-md', async () => {
  await expectUntouched(async () => {
    expect(await cluster.first.refused('up', 'r0')).toMatch(/create-md/);
  });
});

test('a disk that is too small is refused', async () => {
  truncateSync(disk(), 8192);
  await expectUntouched(async () => {
    expect(await cluster.first.refused('create-md', 'r0')).toMatch(/small/);
  });
});

test('a disk that shrank after create-md is refused', async () => {
  await cluster.first.must('create-md', 'r0');
  truncateSync(disk(), 8 * MIB);
  await expectUntouched(async () => {
    await cluster.first.refused('up', 'r0');
  });
});

test('metadata of another resource is refused', async () => {
  const { first } = cluster;
  first.writeConfig('r1', first.readConfig('r0'));
  await first.must('create-md', 'r1');
  await expectUntouched(async () => {
    expect(await first.refused('up', 'r0')).toMatch(/another resource/);
  });
});

test('metadata of another node is refused', async () => {
  const { first, second } = cluster;
  await second.must('create-md', 'r0');
  copyFileSync(cluster.disk(second), disk());
  await expectUntouched(async () => {
    expect(await first.refused('up', 'r0')).toMatch(/another node/);
  });
});

/** Changes a byte in both slots of the superblock. */
function damageMetadata(at: number): void {
  const bytes = readFileSync(disk());
  const file = openSync(disk(), 'r+');
  let slots = 0;
  for (let slot = bytes.indexOf(MAGIC); slot !== -1; slot = bytes.indexOf(MAGIC, slot + 1)) {
    writeSync(file, Buffer.from([0x7f]), 0, 1, slot + at);
    slots++;
  }
  closeSync(file);
  expect(slots).toBe(2);
}

test('metadata of another version is refused', async () => {
  await cluster.first.must('create-md', 'r0');
  damageMetadata(MAGIC.length);
  await expectUntouched(async () => {
    expect(await cluster.first.refused('up', 'r0')).toMatch(/version/);
  });
});

test('metadata that is damaged in both slots is refused', async () => {
  await cluster.first.must('create-md', 'r0');
  damageMetadata(100);
  await expectUntouched(async () => {
    expect(await cluster.first.refused('up', 'r0')).toMatch(/damaged/);
  });
});

test('create-md is refused where metadata is found, and where a file system is', async () => {
  const { first } = cluster;
  await first.must('create-md', 'r0');
  expect(await first.refused('create-md', 'r0')).toMatch(/already holds metadata.*--force/);
  await first.must('create-md', 'r0', '--force');
  makeSparseFile(disk(), 16 * MIB);
  await runOk('mkfs.ext4', ['-q', disk()]);
  await expectUntouched(async () => {
    expect(await first.refused('create-md', 'r0')).toMatch(/ext4.*--force/);
  });
});

test('create-md is refused on a disk that another daemon has attached', async () => {
  const { first, second } = cluster;
  await first.must('create-md', 'r0');
  await first.must('up', 'r0');
  // The other node's own section names the disk of the first one.
  const text = second.readConfig('r0').replaceAll(cluster.disk(second), disk());
  second.writeConfig('r0', text.replaceAll(`"alpha"`, '"gamma"').replaceAll('"beta"', '"alpha"'));
  await second.start();
  for (const words of [['create-md', 'r0', '--force']]) {
    expect(await second.refused('--node', 'alpha', ...words)).toMatch(/in use|attached/);
  }
  expect((await first.status()).diskState).toBe('Inconsistent');
});

test('a mounted block device is refused', async () => {
  const { first } = cluster;
  await runOk('mkfs.ext4', ['-q', disk()]);
  const loop = (await runOk('losetup', ['--find', '--show', disk()])).trim();
  cluster.onRemove(() => run('losetup', ['--detach', loop]));
  const place = `${cluster.folder}/mnt`;
  await runOk('mkdir', [place]);
  await runOk('mount', [loop, place]);
  cluster.onRemove(() => run('umount', [place]));
  first.writeConfig('r0', first.readConfig('r0').replace(disk(), loop));
  expect(await first.refused('create-md', 'r0', '--force')).toMatch(/in use|mounted/);
});

test('a disk that does not exist, or is a directory, is refused', async () => {
  const { first } = cluster;
  const text = first.readConfig('r0');
  first.writeConfig('r0', text.replace(disk(), `${disk()}.not`));
  expect(await first.refused('create-md', 'r0')).toMatch(/does not exist/);
  expect(await first.refused('up', 'r0')).toMatch(/r0.disk.not/);
  first.writeConfig('r0', text.replace(disk(), cluster.folder));
  expect(await first.refused('create-md', 'r0')).toMatch(/directory/);
  expect(await first.refused('up', 'r0')).toContain(cluster.folder);
});
