/**
 * The real clock, randomness, name resolution and process names. A simulator hands in others.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import type { Clock, Random } from '../model/clock';
import { JUST_CREATED_UUID } from '../model/states';
import type { Uuid } from '../model/states';

const LOAD_DEADLINE_MS = 10_000;

/** Its timers do not keep the process alive. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  after(delayMs, action) {
    const timer = setTimeout(action, delayMs).unref();
    return { cancel: () => clearTimeout(timer) };
  },
};

export const systemRandom: Random = {
  uuid(): Uuid {
    for (;;) {
      const uuid = randomBytes(8).readBigUInt64BE();
      if (uuid > JUST_CREATED_UUID) return uuid;
    }
  },
  fraction: () => randomBytes(4).readUInt32BE() / 2 ** 32,
};

/** A numeric address for a host name; a numeric one is returned as it is. */
export async function resolveHost(host: string): Promise<string> {
  const { address } = await lookup(host);
  return address;
}

/** undefined when the process is gone. */
export function processName(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** Rejects where it cannot be loaded; nothing is told of why. */
export async function loadNbd(): Promise<void> {
  await promisify(execFile)('modprobe', ['-q', 'nbd'], { timeout: LOAD_DEADLINE_MS });
}

/** Of this start of the machine, 64 bits of the kernel's boot id; 0n: not known. */
export function readBootId(file = '/proc/sys/kernel/random/boot_id'): bigint {
  try {
    const digits = readFileSync(file, 'latin1').trim().replaceAll('-', '');
    if (!/^[0-9a-f]{32}$/.test(digits)) return 0n;
    return BigInt(`0x${digits.slice(0, 16)}`) ^ BigInt(`0x${digits.slice(16)}`);
  } catch {
    return 0n;
  }
}
