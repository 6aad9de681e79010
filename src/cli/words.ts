/**
 * Errors of the bus and the service in words that say what to do. Pure.
 */
import { ERROR_CODES, ERROR_PREFIX, MirrorError, toMirrorError } from '../model/errors';
import type { ErrorCode } from '../model/errors';

const STANDARD = 'org.freedesktop.DBus.Error.';

/** No connection to the bus at all. */
export function noBus(address: string, reason: string): MirrorError {
  const name = busName(address);
  const why = reason
    .replace(/^connect ENOENT (.*)$/, '$1 does not exist')
    .replace(/^connect ECONNREFUSED (.*)$/, 'nobody answers at $1')
    .replace(/^connect EACCES (.*)$/, 'permission denied for $1');
  const help =
    address === 'system'
      ? 'start it with: systemctl start dbus, or name another bus with --bus'
      : 'check the address given with --bus';
  return new MirrorError('NotConnected', `cannot reach ${name} (${why}); ${help}`);
}

/** No service on the bus. */
export function noService(address: string): MirrorError {
  const start =
    address === 'system'
      ? 'systemctl start blkmirrord'
      : `blkmirrord --bus ${shellQuoted(address)}`;
  const name = busName(address);
  return new MirrorError(
    'NotConnected',
    `blkmirrord is not running on ${name}; start it with: ${start}`,
  );
}

/** What a call was answered with, as an error of the table. */
export function busAnswerError(error: unknown, address: string): MirrorError {
  if (error instanceof MirrorError) return error;
  const name = errorName(error);
  const text = error instanceof Error ? error.message : String(error);
  if (name.startsWith(ERROR_PREFIX)) {
    const code = name.slice(ERROR_PREFIX.length);
    return new MirrorError(isErrorCode(code) ? code : 'Failed', text, { cause: error });
  }
  switch (name) {
    case `${STANDARD}ServiceUnknown`:
    case `${STANDARD}NameHasNoOwner`:
      return noService(address);
    case `${STANDARD}NoReply`:
    case `${STANDARD}Disconnected`:
    case `${STANDARD}TimedOut`:
      return new MirrorError('NotConnected', 'blkmirrord ended before it answered; see its log', {
        cause: error,
      });
    case `${STANDARD}AccessDenied`:
      return new MirrorError(
        'NotAuthorized',
        `the bus does not allow this: ${text}; run it as root`,
        {
          cause: error,
        },
      );
    case `${STANDARD}UnknownObject`:
      return new MirrorError('NotFound', text, { cause: error });
    default:
      return toMirrorError(error);
  }
}

/** The whole message for the user; `NotAuthorized` says who may. */
export function reasonOf(error: unknown): string {
  const known = toMirrorError(error);
  const text = known.message === '' ? ERROR_CODES[known.code] : known.message;
  if (known.code === 'TimedOut' && text.includes('no answer')) {
    return `${text}; it may still be under way, see the log of blkmirrord`;
  }
  if (known.code !== 'NotAuthorized' || text.includes('root')) return text;
  return `${text}; run this as root`;
}

/** For a command line that can be copied; plain words stay as they are. */
export function shellQuoted(word: string): string {
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function busName(address: string): string {
  if (address === 'system' || address === 'session') return `the ${address} bus`;
  return `the bus at ${address}`;
}

function errorName(error: unknown): string {
  const typed = error as { readonly type?: unknown } | undefined;
  return typeof typed?.type === 'string' ? typed.type : '';
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(ERROR_CODES, code);
}
