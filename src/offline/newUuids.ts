/**
 * The first generation of copies that are not just created, and the one before it, which nobody
 * ever held: by it two copies that part in their first generation are known to be related. Used
 * by createMd.ts.
 */
import { createHash, randomBytes } from 'node:crypto';
import { JUST_CREATED_UUID } from '../model/states';
import type { Uuid } from '../model/states';
import type { CreateMetadataSpec } from '../plane/plane';

type FirstGeneration = Required<Pick<CreateMetadataSpec, 'currentUuid' | 'ancestorUuid'>>;

/** Of an adopted copy: nobody else has it. */
export function adoptedGeneration(): FirstGeneration {
  return { currentUuid: freshUuid(), ancestorUuid: freshUuid() };
}

function freshUuid(): Uuid {
  const uuid = randomBytes(8).readBigUInt64BE(0);
  return uuid > JUST_CREATED_UUID ? uuid : freshUuid();
}

/**
 * What both nodes of a new mirror give themselves with --skip-initial-sync, without talking to
 * each other: it follows from what they must agree on anyway, so another pair of copies never
 * has it, nor one of another size. A copy that has been in use since is told by its generations.
 */
export function dayZeroGeneration(
  resource: string,
  nodes: readonly string[],
  deviceBytes: bigint,
): FirstGeneration {
  const agreed = [resource, ...[...nodes].sort(), String(deviceBytes)];
  return {
    currentUuid: uuidOf(['blkmirror day 0', ...agreed]),
    ancestorUuid: uuidOf(['blkmirror before day 0', ...agreed]),
  };
}

function uuidOf(parts: readonly string[]): Uuid {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part}\0`);
  const uuid = hash.digest().readBigUInt64BE(0);
  return uuid > JUST_CREATED_UUID ? uuid : uuid + JUST_CREATED_UUID + 1n;
}
