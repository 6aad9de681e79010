/**
 * The first generation of copies that are not just created. Used by createMd.ts.
 */
import { createHash, randomBytes } from 'node:crypto';
import { JUST_CREATED_UUID } from '../model/states';
import type { Uuid } from '../model/states';

/** Of an adopted copy: nobody else has it. */
export function freshUuid(): Uuid {
  const uuid = randomBytes(8).readBigUInt64BE(0);
  return uuid > JUST_CREATED_UUID ? uuid : freshUuid();
}

/**
 * What both nodes of a new mirror give themselves with --skip-initial-sync, without talking to
 * each other: it follows from what they must agree on anyway, so another pair of copies never
 * has it, nor one of another size. A copy that has been in use since is told by its generations.
 */
export function dayZeroUuid(resource: string, nodes: readonly string[], deviceBytes: bigint): Uuid {
  const hash = createHash('sha256');
  for (const part of ['blkmirror day 0', resource, ...[...nodes].sort(), String(deviceBytes)]) {
    hash.update(`${part}\0`);
  }
  const uuid = hash.digest().readBigUInt64BE(0);
  return uuid > JUST_CREATED_UUID ? uuid : uuid + JUST_CREATED_UUID + 1n;
}
