/**
 * Where the service saw a copy's metadata last: for a disk that grew, and so hides it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_PLACE_BYTES } from './limits';
import type { OwnCopy } from './ownCopy';

/** As the service keeps it; 0n when there is none, or of another disk. */
export function lastPlace(stateDir: string, copy: OwnCopy): bigint {
  try {
    const text = readFileSync(join(stateDir, `${copy.config.name}.json`), 'utf8');
    const found = text.length <= MAX_PLACE_BYTES ? (JSON.parse(text) as unknown) : null;
    if (typeof found !== 'object' || found === null) return 0n;
    if (!('disk' in found) || found.disk !== copy.node.disk) return 0n;
    const offset = 'offsetBytes' in found ? String(found.offsetBytes) : '';
    return /^[0-9]{1,18}$/.test(offset) ? BigInt(offset) : 0n;
  } catch {
    return 0n;
  }
}
