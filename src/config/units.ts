/**
 * Numbers with DRBD's unit suffixes. Pure; called by schema.ts and build.ts.
 */

const KIB_OF = { '': 1, k: 1, m: 1024, g: 1024 * 1024 } as const;

/** KiB a second: a whole number, or one with K, M or G (powers of 1024) of bytes a second. */
export function tryRate(value: string): number | undefined {
  const parts = /^([0-9]{1,9})([kmg]?)$/i.exec(value);
  if (parts === null) return undefined;
  const unit = (parts[2] ?? '').toLowerCase() as keyof typeof KIB_OF;
  return Number(parts[1]) * KIB_OF[unit];
}
