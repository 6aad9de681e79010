/**
 * Whether this kernel has, or can load, the driver that kernel devices need.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { promisify } from 'node:util';

const MODULE = '/sys/module/nbd';
const LOAD_DEADLINE_MS = 10_000;

/** Loads it where that is possible and allowed. */
export async function hasNbd(): Promise<boolean> {
  if (existsSync(MODULE)) return true;
  const load = promisify(execFile)('modprobe', ['-q', 'nbd'], { timeout: LOAD_DEADLINE_MS });
  await load.catch(() => undefined);
  return existsSync(MODULE);
}
