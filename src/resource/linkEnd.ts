/**
 * Why a connection ended. With `refusal` nobody tries again until the administrator decides
 * (StandAlone); without it the connection is made anew by itself.
 */
import type { ErrorCode } from '../model/errors';
import type { Refusal } from './words';

export class LinkEnd extends Error {
  constructor(
    /** In words, for PeerStatus.reason. */
    readonly reason: string,
    readonly refusal?: Refusal,
    /** The peer would not have it. */
    readonly refused = false,
  ) {
    super(reason);
    this.name = 'LinkEnd';
  }
}

const LASTING: readonly ErrorCode[] = ['SplitBrain', 'Unrelated', 'Reverted', 'InvalidArgs'];

/** Refusals that another attempt cannot change. */
export function isLasting(code: ErrorCode): boolean {
  return LASTING.includes(code);
}
