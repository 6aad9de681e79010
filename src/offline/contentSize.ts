/**
 * How much of a disk its content takes: the end of the file system, volume or partitions that are
 * on it, read from their own headers. For create-md --adopt, which must not overwrite any of it.
 *
 * Formats as their own documentation and headers give them: ext2/3/4 (ext4 wiki, disk layout),
 * XFS (xfs_dsb), btrfs (on-disk format), LVM2 (pv_header), Linux swap, NTFS, FAT, exFAT, squashfs,
 * MBR and GPT. Little-endian but for XFS.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';

export interface Content {
  /** In words: `an ext4 file system`, as blkid's kinds are called. */
  readonly type: string;
  /** The first byte behind it, from the disk's start. */
  readonly endBytes: bigint;
}

type Reader = (offset: number, length: number) => Buffer;

const SECTOR_BYTES = 512n;

interface Probe {
  readonly type: string;
  /** undefined: it is not that. */
  readonly tryEnd: (read: Reader, sectorBytes: bigint) => bigint | undefined;
}

/** By the type that blkid tells (TYPE or PTTYPE). */
const PROBES: readonly Probe[] = [
  ...['ext2', 'ext3', 'ext4'].map((type) => ({ type, tryEnd: endOfExt })),
  { type: 'xfs', tryEnd: endOfXfs },
  { type: 'btrfs', tryEnd: endOfBtrfs },
  { type: 'LVM2_member', tryEnd: endOfLvm },
  { type: 'swap', tryEnd: endOfSwap },
  { type: 'ntfs', tryEnd: endOfNtfs },
  { type: 'vfat', tryEnd: endOfFat },
  { type: 'exfat', tryEnd: endOfExfat },
  { type: 'squashfs', tryEnd: endOfSquashfs },
  { type: 'dos', tryEnd: endOfPartitions },
  { type: 'gpt', tryEnd: endOfGpt },
];

/** undefined: of a kind whose size is not known here. */
export function tryContentEnd(path: string, type: string): bigint | undefined {
  const probe = PROBES.find((candidate) => candidate.type === type);
  if (probe === undefined) return undefined;
  const descriptor = openSync(path, 'r');
  try {
    const read: Reader = (offset, length) => {
      const bytes = Buffer.alloc(length);
      readSync(descriptor, bytes, 0, length, offset);
      return bytes;
    };
    return probe.tryEnd(read, sectorBytesOf(descriptor));
  } finally {
    closeSync(descriptor);
  }
}

/** The unit of a DOS partition table: the disk's logical block; 512 bytes in a file. */
function sectorBytesOf(descriptor: number): bigint {
  const status = fstatSync(descriptor);
  if (!status.isBlockDevice()) return SECTOR_BYTES;
  const major = (status.rdev >> 8) & 0xfff;
  const minor = (status.rdev & 0xff) | ((status.rdev >> 12) & 0xfff00);
  const device = `/sys/dev/block/${major}:${minor}`;
  // A partition has no queue of its own: its disk's is beside it.
  for (const queue of [`${device}/queue`, `${device}/../queue`]) {
    const bytes = tryReadNumber(`${queue}/logical_block_size`);
    if (bytes !== undefined) return bytes;
  }
  return SECTOR_BYTES;
}

function tryReadNumber(file: string): bigint | undefined {
  try {
    const text = readFileSync(file, 'utf8').trim();
    return /^[0-9]{1,10}$/.test(text) ? BigInt(text) : undefined;
  } catch {
    return undefined;
  }
}

const INCOMPAT_64BIT = 0x80;

function endOfExt(read: Reader): bigint | undefined {
  const header = read(1024, 1024);
  if (header.readUInt16LE(56) !== 0xef53) return undefined;
  const wide = (header.readUInt32LE(96) & INCOMPAT_64BIT) !== 0;
  const high = wide ? header.readUInt32LE(0x150) : 0;
  const blocks = (BigInt(high) << 32n) | BigInt(header.readUInt32LE(4));
  const shift = header.readUInt32LE(24);
  return shift > 6 ? undefined : blocks << BigInt(10 + shift);
}

function endOfXfs(read: Reader): bigint | undefined {
  const header = read(0, 512);
  if (header.toString('latin1', 0, 4) !== 'XFSB') return undefined;
  return BigInt(header.readUInt32BE(4)) * header.readBigUInt64BE(8);
}

const BTRFS_SUPERBLOCK = 64 * 1024;

function endOfBtrfs(read: Reader): bigint | undefined {
  const header = read(BTRFS_SUPERBLOCK, 4096);
  if (header.toString('latin1', 0x40, 0x48) !== '_BHRfS_M') return undefined;
  // What this device of the file system takes, which may have others.
  return header.readBigUInt64LE(0xd1);
}

function endOfLvm(read: Reader): bigint | undefined {
  for (let sector = 0; sector < 4; sector++) {
    const label = read(sector * 512, 512);
    if (label.toString('latin1', 0, 8) !== 'LABELONE') continue;
    const header = label.readUInt32LE(20);
    return header > 512 - 40 ? undefined : label.readBigUInt64LE(header + 32);
  }
  return undefined;
}

function endOfSwap(read: Reader): bigint | undefined {
  for (const pageBytes of [4096, 8192, 16_384, 65_536]) {
    if (read(pageBytes - 10, 10).toString('latin1') !== 'SWAPSPACE2') continue;
    const lastPage = read(1024, 8).readUInt32LE(4);
    return (BigInt(lastPage) + 1n) * BigInt(pageBytes);
  }
  return undefined;
}

function endOfNtfs(read: Reader): bigint | undefined {
  const boot = read(0, 512);
  if (boot.toString('latin1', 3, 11) !== 'NTFS    ') return undefined;
  // The copy of the boot sector lies behind the last sector that is counted.
  return (boot.readBigUInt64LE(40) + 1n) * BigInt(boot.readUInt16LE(11));
}

function endOfFat(read: Reader): bigint | undefined {
  const boot = read(0, 512);
  if (boot.readUInt16LE(510) !== 0xaa55) return undefined;
  const sectors = boot.readUInt16LE(19) === 0 ? boot.readUInt32LE(32) : boot.readUInt16LE(19);
  return sectors === 0 ? undefined : BigInt(sectors) * BigInt(boot.readUInt16LE(11));
}

function endOfExfat(read: Reader): bigint | undefined {
  const boot = read(0, 512);
  if (boot.toString('latin1', 3, 11) !== 'EXFAT   ') return undefined;
  const shift = boot.readUInt8(108);
  return shift < 9 || shift > 12 ? undefined : boot.readBigUInt64LE(72) << BigInt(shift);
}

function endOfSquashfs(read: Reader): bigint | undefined {
  const header = read(0, 96);
  return header.toString('latin1', 0, 4) === 'hsqs' ? header.readBigUInt64LE(40) : undefined;
}

/** Primary and extended partitions; logical ones lie inside the latter. */
function endOfPartitions(read: Reader, sectorBytes: bigint): bigint | undefined {
  const table = read(0, 512);
  if (table.readUInt16LE(510) !== 0xaa55) return undefined;
  let end = 0n;
  for (let at = 446; at < 510; at += 16) {
    const last = BigInt(table.readUInt32LE(at + 8)) + BigInt(table.readUInt32LE(at + 12));
    if (last > end) end = last;
  }
  return end === 0n ? undefined : end * sectorBytes;
}

/** The second table lies behind the last partition, at the end of the disk. */
function endOfGpt(read: Reader): bigint | undefined {
  for (const sector of [512, 4096]) {
    const header = read(sector, 92);
    if (header.toString('latin1', 0, 8) !== 'EFI PART') continue;
    return (header.readBigUInt64LE(32) + 1n) * BigInt(sector);
  }
  return undefined;
}
