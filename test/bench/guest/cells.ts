// What is done to each contender in the guest, in fio's words, and what is to be reached. Wide
// writes meet the same blocks in each round and once before: then blkmirror's extents are hot.

import type { Cell } from '../cells';

export interface GuestCell extends Cell {
  readonly backing: 'memory' | 'slow flush';
  /** Of the device, from its beginning. */
  readonly sizeMib: number;
  /** How many writes one measurement takes at most; without it only time ends it. */
  readonly writes?: number;
  /** What blkmirror is to reach beside DRBD. */
  readonly target?: number;
}

const NARROW_MIB = 32;
/** Of DRBD's default of 1,237 extents of 4 MiB, thirteen times as much. */
const WIDE_MIB = 65_000;
const WIDE_WORDS = ['--rw=randwrite', '--bs=4k', '--iodepth=32', '--randseed=7'];

const write = { reads: false, quick: true, unit: 'IOPS' } as const;

export const GUEST_CELLS: readonly GuestCell[] = [
  {
    ...write,
    key: 'write-4k-qd1',
    title: '4k random write, one at a time',
    fioWords: ['--rw=randwrite', '--bs=4k', '--iodepth=1'],
    backing: 'memory',
    sizeMib: NARROW_MIB,
    target: 0.5,
  },
  {
    ...write,
    key: 'write-4k-qd16',
    title: '4k random write, 16 at once',
    fioWords: ['--rw=randwrite', '--bs=4k', '--iodepth=16'],
    backing: 'memory',
    sizeMib: NARROW_MIB,
    target: 1.0,
  },
  {
    ...write,
    key: 'write-128k-qd8',
    title: '128k sequential write, 8 at once',
    fioWords: ['--rw=write', '--bs=128k', '--iodepth=8'],
    unit: 'MiB/s',
    backing: 'memory',
    sizeMib: NARROW_MIB,
  },
  {
    ...write,
    key: 'wide-memory',
    title: '4k random write over 64 GiB, 32 at once',
    fioWords: WIDE_WORDS,
    backing: 'memory',
    sizeMib: WIDE_MIB,
    writes: 6000,
  },
  {
    ...write,
    key: 'narrow-slow',
    title: '4k random write, 32 at once, a flush takes 16 ms',
    fioWords: ['--rw=randwrite', '--bs=4k', '--iodepth=32'],
    backing: 'slow flush',
    sizeMib: NARROW_MIB,
  },
  {
    ...write,
    key: 'wide-slow',
    title: '4k random write over 64 GiB, 32 at once, a flush takes 16 ms',
    fioWords: WIDE_WORDS,
    backing: 'slow flush',
    sizeMib: WIDE_MIB,
    writes: 3000,
    target: 3,
  },
];
