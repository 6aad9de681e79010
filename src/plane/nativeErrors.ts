/**
 * From an errno's name to a code of the error table, for each kind of operation.
 */
import { MirrorError } from '../model/errors';
import type { ErrorCode } from '../model/errors';

/** Codes by errno; what is not there is `Failed`. */
export type ErrnoCodes = Readonly<Record<string, ErrorCode | undefined>>;

/** Disks that cannot be opened or claimed, and metadata that cannot be used. */
export const DISK_CODES: ErrnoCodes = {
  EACCES: 'NotAttached',
  EADDRINUSE: 'DeviceInUse',
  EBADMSG: 'NotAttached',
  EBUSY: 'DeviceInUse',
  ECANCELED: 'InTransition',
  EEXIST: 'DeviceInUse',
  EFBIG: 'NotAttached',
  EINVAL: 'NotAttached',
  EISDIR: 'NotAttached',
  ELOOP: 'NotAttached',
  ENODATA: 'NotAttached',
  ENODEV: 'NotAttached',
  ENOENT: 'NotAttached',
  ENOSPC: 'NotAttached',
  ENOTDIR: 'NotAttached',
  ENOTSUP: 'NotAttached',
  EOPNOTSUPP: 'NotAttached',
  ENXIO: 'NotAttached',
  EPERM: 'NotAttached',
  EROFS: 'NotAttached',
  ESTALE: 'NotAttached',
  EUCLEAN: 'NotAttached',
  ETXTBSY: 'DeviceInUse',
};

export const INSPECT_CODES: ErrnoCodes = { ...DISK_CODES, ENOENT: 'NotFound', ENOTDIR: 'NotFound' };

export const LISTEN_CODES: ErrnoCodes = { EADDRINUSE: 'DeviceInUse', EINVAL: 'InvalidArgs' };

export const DIAL_CODES: ErrnoCodes = {
  ECONNREFUSED: 'NotConnected',
  ECONNRESET: 'NotConnected',
  EACCES: 'NotConnected',
  EADDRNOTAVAIL: 'NotConnected',
  EHOSTUNREACH: 'NotConnected',
  EINVAL: 'InvalidArgs',
  EMSGSIZE: 'InvalidArgs',
  ENETUNREACH: 'NotConnected',
  EPERM: 'NotConnected',
  EPIPE: 'NotConnected',
  ETIMEDOUT: 'TimedOut',
};

/** A text member of an error, whichever realm made it. */
function textOf(error: unknown, member: 'code' | 'message'): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  const value: unknown = Reflect.get(error, member);
  return typeof value === 'string' ? value : undefined;
}

/** The addon's error, whose message is for the user already, with a code of the table. */
export function toPlaneError(error: unknown, codes: ErrnoCodes): MirrorError {
  if (error instanceof MirrorError) return error;
  const code = codes[textOf(error, 'code') ?? ''] ?? 'Failed';
  return new MirrorError(code, textOf(error, 'message') ?? String(error), { cause: error });
}

/** How an operation on a device ended when it did not go well. */
export function completionError(
  what: string,
  errno: string,
  detail: string,
  codes: ErrnoCodes,
): MirrorError {
  const why = detail === '' ? errno : `${detail} (${errno})`;
  const code = codes[errno] ?? (errno === 'ECANCELED' ? 'InTransition' : 'Failed');
  return new MirrorError(code, `${what} failed: ${why}`);
}
