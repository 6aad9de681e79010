// Where the content of a disk ends, on what the tools of the file systems have made. Each of them
// is smaller than the file it lies in.

import { spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { tryContentEnd } from '../../../src/offline/contentSize';
import { findContent } from '../../../src/offline/signatures';
import { Folder } from '../config/folder';

jest.setTimeout(60_000);

const MIB = 1024 * 1024;
let folder: Folder;
let disk: string;

beforeEach(() => {
  folder = new Folder();
  disk = folder.write('disk', Buffer.alloc(0));
});

afterEach(() => folder.remove());

function run(program: string, args: readonly string[], input = ''): string {
  const env = { ...process.env, PATH: `/usr/sbin:/sbin:${process.env.PATH ?? '/usr/bin:/bin'}` };
  const done = spawnSync(program, args, { env, input, encoding: 'utf8' });
  if (done.status === 0) return done.stdout;
  throw new Error(`${program} ${args.join(' ')}: ${done.stderr}${String(done.error ?? '')}`);
}

async function endOf(type: string): Promise<number> {
  expect((await findContent(disk))?.type).toBe(type);
  const end = tryContentEnd(disk, type);
  return end === undefined ? NaN : Number(end);
}

/** The tool makes a file system of a whole file of that size, in front of 16 MiB of nothing. */
async function endOfWhole(mib: number, type: string, words: readonly string[]): Promise<number> {
  const [program = '', ...args] = words;
  truncateSync(disk, mib * MIB);
  run(program, [...args, disk]);
  truncateSync(disk, (mib + 16) * MIB);
  return (await endOf(type)) / MIB;
}

/** It looks at every mount there is, and fails at one whose server is gone: here there is none. */
const MAKE_BTRFS = ['unshare', '-m', 'sh', '-c', 'umount -alt fuse; exec mkfs.btrfs -q "$0"'];

test.each([
  ['ext2', 64, ['mkfs.ext2', '-q', '-b', '1024']],
  ['ext3', 64, ['mkfs.ext3', '-q', '-b', '2048']],
  ['ext4', 64, ['mkfs.ext4', '-q', '-b', '4096', '-O', '64bit']],
  ['xfs', 320, ['mkfs.xfs', '-q']],
  ['btrfs', 128, MAKE_BTRFS],
  ['vfat', 8, ['mkfs.vfat', '-F', '12']],
  ['vfat', 24, ['mkfs.vfat', '-F', '16']],
  ['vfat', 64, ['mkfs.vfat', '-F', '32']],
  ['vfat', 96, ['mkfs.vfat', '-S', '4096']],
  ['exfat', 64, ['mkfs.exfat']],
  ['ntfs', 16, ['mkntfs', '-q', '-F', '-f']],
  ['swap', 64, ['mkswap', '-q']],
] as const)('%s of %d MiB ends where it was made to end', async (type, mib, words) => {
  expect(await endOfWhole(mib, type, words)).toBe(mib);
});

test('blocks of ext4 are counted in 64 bits', () => {
  truncateSync(disk, 64 * MIB);
  run('mkfs.ext4', ['-q', '-b', '4096', '-O', '64bit', disk]);
  const image = readFileSync(disk);
  image.writeUInt32LE(3, 1024 + 0x150);
  writeFileSync(disk, image);
  const blocks = 3n * 2n ** 32n + 16_384n;
  expect(tryContentEnd(disk, 'ext4')).toBe(blocks * 4096n);
});

test('squashfs ends with its last byte', async () => {
  const source = folder.write('source', Buffer.alloc(3 * MIB, 'text'));
  run('mksquashfs', [source, disk, '-quiet', '-no-progress', '-noappend', '-nopad']);
  const { length } = readFileSync(disk);
  truncateSync(disk, 16 * MIB);
  expect(await endOf('squashfs')).toBe(length);
});

test('a DOS partition table ends with its last partition, extended ones included', async () => {
  truncateSync(disk, 64 * MIB);
  run('sfdisk', ['-q', disk], 'label: dos\n2048,8192\n10240,16384,E\n12288,4096\n');
  expect(await endOf('dos')).toBe((10_240 + 16_384) * 512);
});

test('a GPT ends with its second table, at the end of the disk', async () => {
  truncateSync(disk, 32 * MIB);
  run('sfdisk', ['-q', disk], 'label: gpt\n2048,8192\n');
  truncateSync(disk, 64 * MIB);
  expect(await endOf('gpt')).toBe(32 * MIB);
});

test('what is not what it was called, or of an unknown kind, has no end', () => {
  writeFileSync(disk, Buffer.alloc(256 * 1024));
  const known = ['ext4', 'xfs', 'btrfs', 'LVM2_member', 'swap', 'ntfs', 'vfat', 'exfat'];
  for (const type of [...known, 'squashfs', 'dos', 'gpt', 'crypto_LUKS', '']) {
    expect([type, tryContentEnd(disk, type)]).toEqual([type, undefined]);
  }
});

test('a file that ends in the middle of a header is not read past its end', () => {
  for (const bytes of [0, 100, 512, 1100, 4090]) {
    writeFileSync(disk, Buffer.alloc(bytes));
    for (const type of ['ext4', 'xfs', 'btrfs', 'LVM2_member', 'swap', 'dos', 'gpt']) {
      expect(tryContentEnd(disk, type)).toBeUndefined();
    }
  }
});
