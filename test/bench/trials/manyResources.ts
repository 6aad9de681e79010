// 100 resources in one daemon, connected and idle: processor time and memory.

import { Cluster } from '../../support/systemCluster';
import { processorTimeUs } from '../contender';
import { residentBytes } from '../resident';
import type { Finding } from '../findings';

const MIB = 1024 * 1024;
const RESOURCES = 100;
const WATCHED_MS = 10_000;

export async function manyResources(): Promise<readonly Finding[]> {
  const resources = Array.from({ length: RESOURCES }, (_, index) => `r${index}`);
  const createWords = ['--skip-initial-sync'];
  const cluster = await Cluster.inSync({ resources, diskBytes: 8 * MIB, tmpfs: true, createWords });
  try {
    const { pid } = cluster.first;
    const before = processorTimeUs([pid]);
    const start = performance.now();
    await new Promise((resolve) => setTimeout(resolve, WATCHED_MS));
    const elapsedUs = (performance.now() - start) * 1000;
    const usedUs = processorTimeUs([pid]) - before;
    return [
      {
        title: '100 idle resources in one daemon, processor time',
        measured: (usedUs / elapsedUs) * 100,
        target: 5,
        sense: 'at most',
        unit: '% of one core',
        detail: '',
      },
      {
        title: '100 resources in one daemon, memory of each',
        measured: residentBytes(pid) / MIB / RESOURCES,
        target: 20,
        sense: 'at most',
        unit: 'MiB',
        detail: 'the whole daemon, divided',
      },
    ];
  } finally {
    await cluster.remove();
  }
}
