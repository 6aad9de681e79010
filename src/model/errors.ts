/**
 * The only error table: every refusal and failure that reaches a user has one of these codes,
 * which is also the last part of its D-Bus error name (org.blkmirror.Mirror1.Error.<code>).
 *
 * A message says what was refused, why, and what to do: lower case, no full stop.
 */

export const ERROR_CODES = {
  InvalidArgs: 'an argument or option is wrong',
  NotFound: 'there is no such resource, peer or job',
  NotAuthorized: 'the caller may not do this',
  NotPrimary: 'this needs the Primary role here',
  PeerIsPrimary: 'a connected peer is Primary',
  NotUpToDate: 'the local copy is not UpToDate',
  NotAttached: 'the backing disk or its metadata cannot be used',
  NotConnected: 'no peer that this needs is connected',
  DeviceInUse: 'the device or its backing disk is in use',
  SplitBrain: 'both copies have changed since they were last connected',
  Reverted: 'a copy went back to an older state',
  Unrelated: 'the copies never had data in common',
  ResyncRunning: 'a resync is running',
  InTransition: 'another change of this resource is under way',
  NoQuorum: 'too few nodes are connected',
  TimedOut: 'the deadline passed',
  Failed: 'an operation failed',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

export const ERROR_PREFIX = 'org.blkmirror.Mirror1.Error.';

/** A refusal or failure with a code of the table. Its message goes to the user as it is. */
export class MirrorError extends Error {
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
    this.name = 'MirrorError';
  }

  get dbusName(): string {
    return ERROR_PREFIX + this.code;
  }
}

/** The error itself when it is of the table, else `Failed` with the cause kept. */
export function toMirrorError(error: unknown): MirrorError {
  if (error instanceof MirrorError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new MirrorError('Failed', message, { cause: error });
}
