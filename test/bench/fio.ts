// One run of fio against one contender: what it printed, and the processor time beside it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runOk } from '../support/systemProcess';
import { childrenTimeUs, machineTimeUs, processorTimeUs } from './contender';
import type { Contender } from './contender';
import { checkInterruption } from './interruption';

/** What fio itself can tell. */
export interface Outcome {
  readonly iops: number;
  readonly mibPerSecond: number;
  /** Of completion, in microseconds; of reads and writes together the slower. */
  readonly p50Us: number;
  readonly p99Us: number;
  readonly p999Us: number;
}

export interface Sample extends Outcome {
  /** Processor time of all the contender's processes for each operation. */
  readonly cpuUsPerOp: number;
  /** Processor time taken by others, in percent of one core. */
  readonly othersPercent: number;
}

export interface Work {
  readonly fioWords: readonly string[];
  readonly sizeBytes: number;
  readonly seconds?: number;
}

interface Direction {
  readonly iops: number;
  readonly bw_bytes: number;
  readonly total_ios: number;
  readonly clat_ns: { readonly percentile?: Readonly<Record<string, number>> };
}

export interface Job {
  readonly read: Direction;
  readonly write: Direction;
}

/** Before all others. */
export const FIO_WORDS = ['--name=global', '--output-format=json', '--thread'] as const;

const MIB = 1024 * 1024;
const SPARE_MS = 60_000;

export async function measure(contender: Contender, work: Work): Promise<Sample> {
  checkInterruption();
  const before = times(contender);
  const start = performance.now();
  const words = [...workWords(work), '--name=bench', ...contender.fioWords];
  const jobs = await runFio(words, work.seconds ?? 60, contender.fioPrefix);
  const wallUs = (performance.now() - start) * 1000;
  const after = times(contender);
  const share = contender.jobsPerOperation ?? 1;
  const serversUs = after.serversUs - before.serversUs;
  const othersUs = after.machineUs - before.machineUs - serversUs - (after.ownUs - before.ownUs);
  return {
    ...outcomeOf(jobs, share),
    cpuUsPerOp: (serversUs / sumOf(jobs, (one) => one.total_ios)) * share,
    othersPercent: Math.max(0, (othersUs / wallUs) * 100),
  };
}

/** What fio itself has seen; `share` jobs make one operation. */
export function outcomeOf(jobs: readonly Job[], share = 1): Outcome {
  const worst = (percent: string): number =>
    Math.max(...directionsOf(jobs).map((one) => one.clat_ns.percentile?.[percent] ?? 0)) / 1000;
  return {
    iops: sumOf(jobs, (one) => one.iops) / share,
    mibPerSecond: sumOf(jobs, (one) => one.bw_bytes) / MIB / share,
    p50Us: worst('50.000000'),
    p99Us: worst('99.000000'),
    p999Us: worst('99.900000'),
  };
}

function directionsOf(jobs: readonly Job[]): readonly Direction[] {
  return jobs.flatMap(({ read, write }) => [read, write]);
}

function sumOf(jobs: readonly Job[], of: (one: Direction) => number): number {
  return directionsOf(jobs).reduce((total, one) => total + of(one), 0);
}

/** Every job's result, in fio's order. */
async function runFio(
  words: readonly string[],
  seconds: number,
  prefix: readonly string[] = [],
): Promise<readonly Job[]> {
  const folder = mkdtempSync(join(tmpdir(), 'blkmirror-fio-'));
  try {
    const own = [...FIO_WORDS, `--aux-path=${folder}`];
    const options = { deadlineMs: seconds * 1000 + SPARE_MS };
    const [program, ...rest] = [...prefix, 'fio', ...own, ...words] as [string, ...string[]];
    return jobsIn(await runOk(program, rest, options));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Of what fio prints with FIO_WORDS. */
export function jobsIn(text: string): readonly Job[] {
  // fio may put warnings before the object.
  const { jobs } = JSON.parse(text.slice(text.indexOf('{'))) as { jobs: readonly Job[] };
  return jobs;
}

export function workWords({ fioWords, sizeBytes, seconds }: Work): readonly string[] {
  const time = seconds === undefined ? [] : ['--time_based', `--runtime=${seconds}`];
  return [`--size=${sizeBytes}`, '--norandommap', '--randrepeat=0', ...time, ...fioWords];
}

function times(contender: Contender): { serversUs: number; machineUs: number; ownUs: number } {
  const { user, system } = process.cpuUsage();
  return {
    serversUs: processorTimeUs(contender.pids),
    machineUs: machineTimeUs(),
    ownUs: childrenTimeUs() + user + system,
  };
}
