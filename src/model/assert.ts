/**
 * Assertions on what this program itself guarantees. Never on what comes from a peer, a
 * client, a disk or a configuration file: that is validated and answered with an error.
 */

export function assert(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${what}`);
}

/** The value itself; for what is there by construction. */
export function present<T>(value: T | undefined | null, what: string): T {
  assert(value !== undefined && value !== null, what);
  return value;
}
