// What a benchmark measures: something that serves a device, and the words by which fio opens it.

import { readFileSync } from 'node:fs';

export interface Named {
  /** As the tables call it, and as JSON keys. */
  readonly name: string;
  /** The settings it runs with, in one line. */
  readonly settings: string;
}

export interface Contender extends Named {
  /** What fio is told, so that it opens the device. */
  readonly fioWords: readonly string[];
  /** Put before fio, where it has to run in a place of its own. */
  readonly fioPrefix?: readonly string[];
  /** How many fio jobs together make one operation; 1 without it. */
  readonly jobsPerOperation?: number;
  /** Processes whose processor time counts. */
  readonly pids: readonly number[];
  /** May be called twice. */
  close(): Promise<void>;
}

export function nbdWords(socket: string, exportName = ''): readonly string[] {
  return ['--ioengine=nbd', `--uri=nbd+unix:///${exportName}?socket=${socket}`];
}

export function fileWords(file: string): readonly string[] {
  return ['--ioengine=io_uring', '--direct=1', `--filename=${file}`];
}

/** Of processes and the children they waited for, in microseconds; steps of 10 ms. */
export function processorTimeUs(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + ticksOf(pid, 2) * US_PER_TICK, 0);
}

/** Of the children that this process has waited for, in microseconds. */
export function childrenTimeUs(): number {
  return (ticksOf(process.pid, 4) - ticksOf(process.pid, 2)) * US_PER_TICK;
}

/** Of the whole machine, idle time left out, in microseconds. */
export function machineTimeUs(): number {
  const [, ...counts] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/ +/);
  const [user, nice, system, , , irq, softirq, steal] = counts.map(Number);
  const busy = [user, nice, system, irq, softirq, steal];
  return busy.reduce<number>((sum, ticks) => sum + (ticks ?? 0), 0) * US_PER_TICK;
}

const US_PER_TICK = 10_000;
/** Of /proc/PID/stat, after the name: utime, stime, cutime, cstime. */
const FIRST_TIME = 11;

function ticksOf(pid: number, count: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const times = fields.slice(FIRST_TIME, FIRST_TIME + count).map(Number);
  return times.reduce((sum, ticks) => sum + ticks, 0);
}
