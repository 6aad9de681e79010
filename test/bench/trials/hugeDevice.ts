// A sparse device of 16 TiB in sync: how long attaching takes, and what its bitmap occupies.

import { Cluster } from '../../support/systemCluster';
import { residentBytes } from '../resident';
import type { Finding } from '../findings';

const MIB = 1024 * 1024;
const TIB = 1024 ** 4;
/** Metadata included: what a file may be. */
const HUGE_BYTES = 16 * TIB;
const SMALL_BYTES = 64 * MIB;

export async function hugeDevice(): Promise<readonly Finding[]> {
  const small = await attach(SMALL_BYTES);
  const huge = await attach(HUGE_BYTES);
  return [
    {
      title: 'attaching a sparse device of 16 TiB in sync',
      measured: huge.ms / 1000,
      target: 2,
      sense: 'at most',
      unit: 's',
      detail: `one of 64 MiB: ${(small.ms / 1000).toFixed(2)} s`,
    },
    {
      title: 'memory of a device of 16 TiB above that of one of 64 MiB',
      measured: (huge.bytes - small.bytes) / MIB,
      target: 32,
      sense: 'at most',
      unit: 'MiB',
      detail: '',
    },
  ];
}

async function attach(diskBytes: number): Promise<{ ms: number; bytes: number }> {
  const createWords = ['--skip-initial-sync'];
  const cluster = await Cluster.inSync({ tmpfs: true, diskBytes, createWords });
  try {
    const { second } = cluster;
    await second.down('r0');
    const before = residentBytes(second.pid);
    const start = performance.now();
    await second.up('r0');
    const ms = performance.now() - start;
    await cluster.untilInSync();
    return { ms, bytes: residentBytes(second.pid) - before };
  } finally {
    await cluster.remove();
  }
}
