/**
 * May this copy be declared Outdated (older than another, so that promoting it takes force)?
 * Pure; asked by `outdate`, which fencing and cluster managers use on a node that is cut off.
 */
import type { ErrorCode } from '../model/errors';
import type { DiskState, Role } from '../model/states';

export interface OutdatingInput {
  readonly resource: string;
  readonly role: Role;
  readonly diskState: DiskState;
  /** Names of the peers that are connected. */
  readonly connected: readonly string[];
}

export type OutdatingAnswer =
  | { readonly kind: 'allowed' }
  | { readonly kind: 'alreadyOutdated' }
  | { readonly kind: 'refused'; readonly code: ErrorCode; readonly message: string };

export function judgeOutdating(input: OutdatingInput): OutdatingAnswer {
  const { resource, role, diskState, connected } = input;
  if (role === 'Primary') {
    const message = `${resource} is Primary here: demote it before its copy is declared Outdated`;
    return refuse('InvalidArgs', message);
  }
  switch (diskState) {
    case 'Outdated':
      return { kind: 'alreadyOutdated' };
    case 'Consistent':
    case 'UpToDate':
      break;
    case 'Inconsistent':
      return refuse(
        'NotUpToDate',
        `the local copy of ${resource} is Inconsistent, which is less than Outdated: nothing to do`,
      );
    default:
      return refuse('NotAttached', `the local copy of ${resource} is ${diskState}`);
  }
  if (connected.length === 0) return { kind: 'allowed' };
  const message =
    `${resource} is connected to ${connected.join(', ')} and receives what is written there: ` +
    `run disconnect ${resource} first`;
  return refuse('InvalidArgs', message);
}

function refuse(code: ErrorCode, message: string): OutdatingAnswer {
  return { kind: 'refused', code, message };
}
