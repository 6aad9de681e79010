/**
 * The disk state that a copy's own metadata says it has, before any peer is heard. An UpToDate
 * copy stays so without a peer: `fencing = dont-care`.
 */
import { JUST_CREATED_UUID } from '../model/states';
import type { OwnDiskState, Uuid } from '../model/states';

export interface CopyFlags {
  readonly currentUuid: Uuid;
  readonly consistent: boolean;
  readonly wasUpToDate: boolean;
  readonly outdated: boolean;
}

export function diskStateOf(copy: CopyFlags): OwnDiskState {
  if (copy.currentUuid === JUST_CREATED_UUID || !copy.consistent) return 'Inconsistent';
  if (copy.outdated) return 'Outdated';
  return copy.wasUpToDate ? 'UpToDate' : 'Consistent';
}
