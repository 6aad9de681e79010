/**
 * The run-dir: made if missing, claimed so that a second service with the same one is refused,
 * and cleared of the sockets a dead service left behind.
 *
 * The claim is a flock on a file in it. Node cannot take one, flock(1) can: the lock belongs to
 * the open file that both share, so it stays with this process when the program ends, and goes
 * with this process however that ends.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, closeSync, lstatSync, mkdirSync, openSync } from 'node:fs';
import { readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorError, toMirrorError } from '../model/errors';
import { LOCK_WAIT_MS } from './limits';

const LOCK_FILE = 'blkmirrord.lock';
const FOLDER_MODE = 0o755;
const FLOCK_DEADLINE_MS = 5000;

export interface RunDir {
  readonly path: string;
  /** Of the claim: a process that inherits it has the claim as well. */
  readonly claim: number;
  /** Gives up the claim. Twice is fine. */
  release(): void;
}

/** @throws DeviceInUse (another service has it), Failed */
export function claimRunDir(path: string, waitMs = LOCK_WAIT_MS): RunDir {
  makeFolder(path);
  const claim = takeLock(join(path, LOCK_FILE), path, waitMs);
  removeSockets(path);
  return { path, claim, release: closingOnce(claim) };
}

/** The same with the claim of the process before, which has ended what it did there. */
export function inheritRunDir(path: string, claim: number, except: string): RunDir {
  removeSockets(path, except);
  return { path, claim, release: closingOnce(claim) };
}

/** @throws Failed */
export function makeFolder(path: string): void {
  try {
    const made = mkdirSync(path, { recursive: true, mode: FOLDER_MODE });
    // Whatever the umask: others may connect to what is in it.
    if (made !== undefined) chmodSync(path, FOLDER_MODE);
  } catch (error) {
    throw failed(`cannot make the folder ${path}`, error);
  }
}

function takeLock(file: string, runDir: string, waitMs: number): number {
  const descriptor = openLock(file);
  const flock = spawnSync('flock', ['--timeout', String(waitMs / 1000), '3'], {
    stdio: ['ignore', 'ignore', 'ignore', descriptor],
    timeout: waitMs + FLOCK_DEADLINE_MS,
  });
  if (flock.status === 0) return descriptor;
  closeSync(descriptor);
  if (flock.error !== undefined) throw failed(`cannot lock ${file}`, flock.error);
  const message = `another blkmirrord runs with the run-dir ${runDir}; end it or use another one`;
  throw new MirrorError('DeviceInUse', message);
}

function closingOnce(descriptor: number): () => void {
  let open = true;
  return () => {
    if (open) closeSync(descriptor);
    open = false;
  };
}

function openLock(file: string): number {
  try {
    return openSync(file, 'a', 0o644);
  } catch (error) {
    throw failed(`cannot open ${file}`, error);
  }
}

function removeSockets(path: string, except?: string): void {
  for (const name of readdirSync(path)) {
    const file = join(path, name);
    if (name !== except && lstatSync(file).isSocket()) unlinkSync(file);
  }
}

function failed(what: string, error: unknown): MirrorError {
  return new MirrorError('Failed', `${what}: ${toMirrorError(error).message}`, { cause: error });
}
