// A full resync between two copies in memory: alone, beside what copying the same bytes through
// one TCP connection takes, and while an application writes.

import { closeSync, ftruncateSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { freePorts, runOk, scratchFolder } from '../../support/systemProcess';
import { startMirror } from '../blkmirror';
import type { Mirror } from '../blkmirror';
import type { Contender } from '../contender';
import { measure } from '../fio';
import type { Finding } from '../findings';
import { median } from '../summary';

const MIB = 1024 * 1024;
const DEVICE_BYTES = 3072 * MIB;
const METADATA_BYTES = 16 * MIB;
const ROUNDS = 5;
const POLL_MS = 5;
const DEADLINE_MS = 120_000;
const SECONDS = 2;
const FILL = { fioWords: ['--rw=write', '--bs=1M', '--iodepth=8'], sizeBytes: DEVICE_BYTES };
const WRITES = ['--rw=randwrite', '--bs=4k', '--iodepth=32'];

export async function resyncAlone(): Promise<readonly Finding[]> {
  return withMirror(async (mirror) => {
    const copied: number[] = [];
    const resynced: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      copied.push(await copyThroughOneConnection());
      resynced.push(await resync(mirror));
    }
    const [copy, ours] = [median(copied), median(resynced)];
    const rate = (ms: number): string => `${Math.round(DEVICE_BYTES / MIB / (ms / 1000))} MiB/s`;
    return [
      {
        title: 'full resync, idle application, tmpfs',
        measured: copy / ours,
        target: 0.8,
        sense: 'at least',
        unit: 'x socat',
        detail: `${rate(ours)} of ${rate(copy)}`,
      },
    ];
  });
}

export async function resyncBesideWrites(): Promise<readonly Finding[]> {
  return withMirror(async (mirror) => {
    const without: number[] = [];
    const during: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      without.push(await writes(mirror));
      const resynced = resync(mirror);
      during.push(await writes(mirror));
      await resynced;
    }
    const [alone, beside] = [median(without), median(during)];
    return [
      {
        title: '4k random writes, 32 at once, during a full resync, tmpfs',
        measured: beside / alone,
        target: 0.6,
        sense: 'at least',
        unit: 'x without it',
        detail: `${Math.round(beside)} of ${Math.round(alone)} IOPS`,
      },
    ];
  });
}

async function withMirror(
  run: (mirror: Mirror) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const mirror = await startMirror({ tmpfs: true, diskBytes: DEVICE_BYTES + METADATA_BYTES });
  try {
    await measure(mirror, FILL);
    return await run(mirror);
  } finally {
    await mirror.close();
  }
}

async function writes(mirror: Contender): Promise<number> {
  const work = { fioWords: WRITES, sizeBytes: DEVICE_BYTES, seconds: SECONDS };
  return (await measure(mirror, work)).iops;
}

/** Everything, from the first node to the second; in milliseconds. */
async function resync({ cluster }: Mirror): Promise<number> {
  const { first, second } = cluster;
  const start = performance.now();
  await first.call('r0', 'Resync', { full: true, to: second.name });
  for (;;) {
    const { outOfSyncBytes, diskState } = await first.peer(second.name);
    if (outOfSyncBytes === 0 && diskState === 'UpToDate') return performance.now() - start;
    if (performance.now() - start > DEADLINE_MS) throw new Error('the resync does not end');
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

/** As many bytes from one file in memory to another, by socat; in milliseconds. */
async function copyThroughOneConnection(): Promise<number> {
  const folder = scratchFolder(true);
  try {
    const source = join(folder, 'source');
    const file = openSync(source, 'w');
    ftruncateSync(file, DEVICE_BYTES);
    closeSync(file);
    await runOk('dd', ['if=/dev/urandom', `of=${source}`, 'bs=1M', 'count=1', 'conv=notrunc']);
    const [port = 0] = await freePorts(1);
    const words = ['-u', '-b1048576'];
    const target = `CREATE:${join(folder, 'target')}`;
    const start = performance.now();
    await Promise.all([
      runOk('socat', [...words, `TCP-LISTEN:${port},bind=127.0.0.1`, target]),
      runOk('socat', [...words, `FILE:${source}`, `TCP:127.0.0.1:${port},retry=200,interval=0.01`]),
    ]);
    return performance.now() - start;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
