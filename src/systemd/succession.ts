/**
 * A planned restart without a pause for this program's start: the process that is to end starts
 * its successor itself, serves on until that one is loaded, hands it what outlives a process
 * (the claim on the run-dir, the sockets of kernel devices), and ends. The service manager then
 * starts a third process, as it does after each stop; that one only tells it whom to watch from
 * here on (sd_notify(3), MAINPID), and ends.
 *
 * Without a successor (it does not load, or dies) the restart is one by the manager: fdStore.ts.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { openManagerSocket, openNoticeSocket } from '../plane/nativePlane';
import type { ManagerSocket, NoticeSocket } from '../plane/nativePlane';

/** Tells a process that it is a successor. */
const VARIABLE = 'BLKMIRROR_SUCCESSOR';
/** Of a successor, after standard streams and the channel to the process before. */
const CLAIM_FD = 4;
const NOTICES = 'successor-notices.sock';
/** Where a successor waits to be found by who the service manager starts. */
export const ADOPTION_SOCKET = 'successor.sock';

const LOAD_PATIENCE_MS = 30_000;
/** The process before closes its devices meanwhile. */
const HAND_OVER_PATIENCE_MS = 60_000;
/** What the process before sent last may be read after its end was seen. */
const LAST_WORD_MS = 1000;
/** The manager may be slow to start what finds it. */
export const ADOPTION_PATIENCE_MS = 120_000;
const SETTLE_MS = 5000;

const LOADED = 'loaded';
const YOURS = 'BLKMIRROR_YOURS=1';
const ADOPTED = 'adopted';

interface RunDir {
  readonly path: string;
  /** A descriptor: who has it has the run-dir. */
  readonly claim: number;
}

/** Of the process that is to end. */
export class Successor {
  private constructor(
    private readonly child: ChildProcess,
    private readonly notices: ManagerSocket,
  ) {}

  /** Loaded, and waiting; undefined: there is none, which is logged. */
  static async tryStart(runDir: RunDir, log: Logger): Promise<Successor | undefined> {
    try {
      const child = spawnSelf(runDir.claim);
      await loaded(child);
      return new Successor(child, openManagerSocket(join(runDir.path, NOTICES)));
    } catch (error) {
      log.warn({ err: error }, 'no successor; the service manager starts the next process');
      return undefined;
    }
  }

  /** Receives sockets as the service manager does. */
  get keeper(): ManagerSocket {
    return this.notices;
  }

  /** Nothing is held here any more. @throws an Error: it is gone */
  begin(): void {
    const failure = this.notices.send(YOURS);
    if (failure !== '') throw new Error(`the successor cannot be told to begin: ${failure}`);
  }

  /** It never begins. */
  abandon(): void {
    this.child.kill('SIGKILL');
  }
}

function spawnSelf(claim: number): ChildProcess {
  const env = { ...process.env, [VARIABLE]: '1' };
  // The watchdog is for one process until the manager says otherwise.
  Reflect.deleteProperty(env, 'WATCHDOG_PID');
  const [, ...programAndArguments] = process.argv;
  return spawn(process.execPath, [...process.execArgv, ...programAndArguments], {
    env,
    stdio: ['inherit', 'inherit', 'inherit', 'ipc', claim],
  });
}

function loaded(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error('it was not loaded in time'));
    }, LOAD_PATIENCE_MS);
    child.once('error', reject);
    child.once('exit', (status, signal) => {
      clearTimeout(timer);
      reject(new Error(`it ended with ${signal ?? String(status)}`));
    });
    child.once('message', (message) => {
      clearTimeout(timer);
      if (message === LOADED) resolve();
      else reject(new Error('it does not know what a successor is'));
    });
  });
}

/** Of a successor. */
export class Inheritance {
  /** Resolves when the service manager watches this process; false: it did not in time. */
  readonly adopted: Promise<boolean>;
  /** Of the run-dir. */
  readonly claim = CLAIM_FD;

  private constructor(
    private readonly notices: NoticeSocket,
    server: Server,
  ) {
    this.adopted = adoption(server);
  }

  /** undefined: this process is not a successor. @throws an Error */
  static tryOpen(env: Record<string, string | undefined>, runDir: string): Inheritance | undefined {
    if (env[VARIABLE] === undefined || process.send === undefined) return undefined;
    Reflect.deleteProperty(env, VARIABLE);
    const notices = openNoticeSocket(join(runDir, NOTICES));
    return new Inheritance(notices, openAdoption(runDir));
  }

  /**
   * Says that this process is loaded, and waits for the process before: what it handed over, by
   * name. Ends with that one when it ends without a word.
   * @throws an Error when it keeps what it has
   */
  async receive(): Promise<Map<string, number>> {
    const handed = new Map<string, number>();
    let orphaned: NodeJS.Timeout | undefined;
    const onDisconnect = (): void => {
      orphaned = setTimeout(() => process.exit(1), LAST_WORD_MS);
    };
    process.once('disconnect', onDisconnect);
    process.send?.(LOADED);
    for (;;) {
      const { state, fd } = await this.notices.receive(HAND_OVER_PATIENCE_MS);
      if (state === YOURS) break;
      const name = /^FDSTORE=1\nFDNAME=(.+)$/.exec(state)?.[1];
      if (name !== undefined && fd >= 0) handed.set(name, fd);
      else if (fd >= 0) closeSync(fd);
    }
    process.off('disconnect', onDisconnect);
    clearTimeout(orphaned);
    if (process.connected) process.disconnect();
    this.notices.close();
    return handed;
  }
}

/** Asked for by who the service manager starts next. */
function openAdoption(runDir: string): Server {
  const path = join(runDir, ADOPTION_SOCKET);
  rmSync(path, { force: true });
  return createServer().listen(path);
}

function adoption(server: Server): Promise<boolean> {
  return new Promise((resolve) => {
    const end = (adopted: boolean): void => {
      clearTimeout(timer);
      server.close();
      resolve(adopted);
    };
    const timer = setTimeout(() => end(false), ADOPTION_PATIENCE_MS);
    server.on('error', () => end(false));
    server.on('connection', (socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (data) => {
        if (data.toString() === ADOPTED) end(true);
      });
      socket.write(String(process.pid));
    });
  });
}

/**
 * Of a process that the service manager started: whether a successor serves already, which the
 * manager now watches. This process is to end then.
 */
export async function tryAdopt(
  runDir: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<boolean> {
  const address = env.NOTIFY_SOCKET;
  if (address === undefined || address === '') return false;
  const socket = await tryConnect(join(runDir, ADOPTION_SOCKET));
  if (socket === undefined) return false;
  try {
    const pid = await pidFrom(socket);
    if (pid === undefined) return false;
    const manager = openManagerSocket(address);
    const failure = manager.send(`MAINPID=${pid}\nREADY=1`);
    if (failure !== '') throw new Error(`the service manager is not told: ${failure}`);
    await manager.settle(SETTLE_MS);
    await new Promise<void>((resolve) => socket.end(ADOPTED, resolve));
    return true;
  } finally {
    socket.destroy();
  }
}

function tryConnect(path: string): Promise<Socket | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => resolve(socket));
    socket.on('error', () => resolve(undefined));
  });
}

/** undefined: it does not answer. */
function pidFrom(socket: Socket): Promise<number | undefined> {
  return new Promise((resolve) => {
    socket.setTimeout(SETTLE_MS, () => resolve(undefined));
    socket.once('close', () => resolve(undefined));
    socket.once('data', (data) => {
      const pid = Number(data.toString());
      resolve(Number.isSafeInteger(pid) && pid > 1 ? pid : undefined);
    });
  });
}
