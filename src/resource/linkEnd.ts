/**
 * Why a connection ended. With `refusal` nobody tries again until the administrator decides
 * (StandAlone); without it the connection is made anew by itself.
 */
import { toMirrorError } from '../model/errors';
import type { ErrorCode } from '../model/errors';
import type { NodeName } from '../model/states';
import type { Frame } from './frames';
import { FieldError } from './validator';
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
function isLasting(code: ErrorCode): boolean {
  return LASTING.includes(code);
}

export function refusedEnd(
  peer: NodeName,
  frame: Extract<Frame, { readonly type: 'refused' }>,
): LinkEnd {
  const { code, message } = frame;
  const reason = `${peer} refused the connection: ${message}`;
  return isLasting(code)
    ? new LinkEnd(message, { code, message }, true)
    : new LinkEnd(reason, undefined, true);
}

export function toLinkEnd(error: unknown): LinkEnd {
  if (error instanceof LinkEnd) return error;
  if (error instanceof FieldError) return new LinkEnd(`protocol error: ${error.message}`);
  return new LinkEnd(toMirrorError(error).message);
}
