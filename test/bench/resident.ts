// Memory of a process that is really there.

import { readFileSync } from 'node:fs';

const KIB = 1024;

export function residentBytes(pid: number): number {
  const [, kib] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  if (kib === undefined) throw new Error(`process ${pid} has no memory`);
  return Number(kib) * KIB;
}
