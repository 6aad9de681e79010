/**
 * The service manager's file-descriptor store (sd_pid_notify_with_fds(3), FDSTORE=1): sockets that
 * outlive one process of the service and come to the next one with $LISTEN_FDS, or straight from
 * the one before (succession.ts).
 *
 * systemd keeps them over a restart, and closes them when the service is stopped and stays so. A
 * socket that is in use again must not be kept: its copy would hide from the kernel that this
 * process died. So take() waits until the manager has let go.
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import type { Logger } from 'pino';
import { MirrorError } from '../model/errors';
import { openManagerSocket } from '../plane/nativePlane';
import type { ManagerSocket } from '../plane/nativePlane';
import { NO_SOCKET_STORE } from '../plane/socketStore';
import type { SocketStore, StoredSocket } from '../plane/socketStore';

const FIRST_FD = 3;
const MAX_FDS = 4096;
const MAX_UNREAD_BYTES = 1024 * 1024;
const SETTLE_MS = 5000;
const SOCKET = 'socket-';
const UNREAD = 'unread-';

type Variables = Record<string, string | undefined>;

/**
 * Takes over what was passed; the variables go, so that no child believes they are for it.
 * `handed`: what the process before gave to this one itself.
 */
export function openFdStore(
  env: Variables,
  pid: number,
  log: Logger,
  handed?: Map<string, number>,
): FdStore | undefined {
  const address = env.NOTIFY_SOCKET;
  const left = handed ?? readPassed(env, pid);
  for (const name of ['LISTEN_PID', 'LISTEN_FDS', 'LISTEN_FDNAMES'])
    Reflect.deleteProperty(env, name);
  if (address === undefined || address === '') return undefined;
  try {
    return new FdStore(openManagerSocket(address), left, log, handed === undefined);
  } catch (error) {
    log.warn({ err: error }, 'sockets of kernel devices are not kept over a restart');
    return undefined;
  }
}

/** undefined: nothing is kept. */
export function asSocketStore(store: FdStore | undefined): SocketStore {
  return store ?? NO_SOCKET_STORE;
}

/** The descriptors that the manager passed, by their names. */
export function readPassed(env: Variables, pid: number): Map<string, number> {
  const count = Number(env.LISTEN_FDS ?? '');
  if (Number(env.LISTEN_PID ?? '') !== pid || !Number.isInteger(count)) return new Map();
  const names = (env.LISTEN_FDNAMES ?? '').split(':');
  const entries = Array.from({ length: Math.min(Math.max(count, 0), MAX_FDS) }, (_, index) => {
    const entry: [string, number] = [names[index] ?? '', FIRST_FD + index];
    return entry;
  });
  return new Map(entries);
}

export class FdStore implements SocketStore {
  /** A manager's queue is short: one socket at a time. */
  private turn: Promise<void> = Promise.resolve();

  constructor(
    private manager: ManagerSocket,
    private readonly left: Map<string, number>,
    private readonly log: Logger,
    /** The manager has copies of what is left here. */
    private readonly isManagers = true,
  ) {}

  /** From here on what is put goes there. */
  redirect(manager: ManagerSocket): void {
    this.manager = manager;
  }

  async take(name: string): Promise<StoredSocket | undefined> {
    const fd = this.left.get(SOCKET + name);
    const bytes = this.left.get(UNREAD + name);
    if (fd === undefined && bytes === undefined) return undefined;
    const unread = bytes === undefined ? undefined : readAll(bytes);
    if (bytes !== undefined) closeSync(bytes);
    await this.forget([SOCKET + name, UNREAD + name]);
    if (fd === undefined) return undefined;
    if (unread !== undefined) return { fd, unread };
    closeSync(fd);
    return undefined;
  }

  put(name: string, socket: StoredSocket): Promise<void> {
    const done = this.turn.then(() => this.putOne(name, socket));
    this.turn = done.catch(() => undefined);
    return done;
  }

  /** Of resources that were not up again: the kernel learns that nobody serves them. */
  async discard(): Promise<void> {
    const names = [...this.left.keys()];
    for (const fd of this.left.values()) closeSync(fd);
    await this.forget(names);
  }

  private async putOne(name: string, { fd, unread }: StoredSocket): Promise<void> {
    const bytes = this.manager.keepBytes(unread);
    try {
      const failure =
        this.manager.store(UNREAD + name, bytes) || this.manager.store(SOCKET + name, fd);
      if (failure !== '') {
        throw new MirrorError('Failed', `the service manager does not keep sockets: ${failure}`);
      }
      await this.manager.settle(SETTLE_MS);
    } finally {
      closeSync(bytes);
    }
  }

  private async forget(names: readonly string[]): Promise<void> {
    for (const name of names) this.left.delete(name);
    if (names.length === 0 || !this.isManagers) return;
    for (const name of names) this.manager.send(`FDSTOREREMOVE=1\nFDNAME=${name}`);
    try {
      await this.manager.settle(SETTLE_MS);
    } catch (error) {
      this.log.warn({ err: error, names }, 'the service manager may still keep sockets');
    }
  }
}

function readAll(fd: number): Uint8Array {
  const bytes = new Uint8Array(Math.min(fstatSync(fd).size, MAX_UNREAD_BYTES));
  for (let done = 0; done < bytes.length;) {
    const read = readSync(fd, bytes, done, bytes.length - done, done);
    if (read === 0) break;
    done += read;
  }
  return bytes;
}
