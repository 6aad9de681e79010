/**
 * Whether a path can be a disk at all, in words that say how to get one. Used by create-md and
 * setup before anything opens it.
 */
import { accessSync, constants, statSync } from 'node:fs';
import { MirrorError } from '../model/errors';

/** @throws NotFound (nothing there), NotAttached (no disk, or not allowed) */
export function checkDiskPath(path: string, what: 'disk' | 'meta-disk'): void {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) throw new MirrorError('NotFound', missingDisk(path, what));
  if (!status.isFile() && !status.isBlockDevice()) {
    const found = status.isDirectory() ? 'a directory' : 'neither';
    const right = 'a disk is a block device or a regular file';
    throw new MirrorError(
      'NotAttached',
      `${what} ${path} cannot be used: it is ${found}; ${right}`,
    );
  }
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    const message = `${what} ${path} may not be read and written by this user; run this as root`;
    throw new MirrorError('NotAttached', message, { cause: error });
  }
}

function missingDisk(path: string, what: 'disk' | 'meta-disk'): string {
  const missing = `${what} ${path} does not exist`;
  if (path.startsWith('/dev/')) return `${missing}; check the path, or make the device first`;
  const size = what === 'disk' ? '1G' : '64M';
  return `${missing}; to make a file to try with, run: truncate -s ${size} ${path}`;
}
