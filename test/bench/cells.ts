// The cells of the benchmark: what is done to each contender, in fio's words.

export interface Cell {
  readonly key: string;
  readonly title: string;
  readonly fioWords: readonly string[];
  /** The figure that cells of this kind are compared by. */
  readonly unit: 'IOPS' | 'MiB/s';
  /** Part of the short run. */
  readonly quick: boolean;
  readonly reads: boolean;
}

const write = { reads: false, quick: false };

export const CELLS: readonly Cell[] = [
  {
    ...write,
    key: 'write-4k-qd1',
    title: '4k random write, one at a time',
    fioWords: ['--rw=randwrite', '--bs=4k', '--iodepth=1'],
    unit: 'IOPS',
    quick: true,
  },
  {
    ...write,
    key: 'write-4k-qd32',
    title: '4k random write, 32 at once',
    fioWords: ['--rw=randwrite', '--bs=4k', '--iodepth=32'],
    unit: 'IOPS',
    quick: true,
  },
  {
    key: 'read-4k-qd32',
    title: '4k random read, 32 at once',
    fioWords: ['--rw=randread', '--bs=4k', '--iodepth=32'],
    unit: 'IOPS',
    quick: true,
    reads: true,
  },
  {
    ...write,
    key: 'mixed-4k-qd32',
    title: '4k random, 70 % reads, 32 at once',
    fioWords: ['--rw=randrw', '--rwmixread=70', '--bs=4k', '--iodepth=32'],
    unit: 'IOPS',
  },
  {
    ...write,
    key: 'fsync-4k',
    title: '4k random write and fsync each',
    fioWords: ['--rw=randwrite', '--bs=4k', '--iodepth=1', '--fsync=1'],
    unit: 'IOPS',
  },
  {
    ...write,
    key: 'write-128k-qd16',
    title: '128k sequential write, 16 at once',
    fioWords: ['--rw=write', '--bs=128k', '--iodepth=16'],
    unit: 'MiB/s',
    quick: true,
  },
  {
    ...write,
    key: 'write-1m-qd16',
    title: '1M sequential write, 16 at once',
    fioWords: ['--rw=write', '--bs=1M', '--iodepth=16'],
    unit: 'MiB/s',
  },
];
