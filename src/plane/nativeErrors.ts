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

/** The errno's name of an error that came from the addon; undefined for any other. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The addon's error, whose message is for the user already, with a code of the table. */
export function toPlaneError(error: unknown, codes: ErrnoCodes): MirrorError {
  if (error instanceof MirrorError) return error;
  const code = codes[errnoOf(error) ?? ''] ?? 'Failed';
  const message = error instanceof Error ? error.message : String(error);
  return new MirrorError(code, message, { cause: error });
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
