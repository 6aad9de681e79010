// qemu-storage-daemon as a contender: its quorum driver over a file and an NBD server behind TCP,
// its mirror job in write-blocking mode, and one file without a replica.

import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { until } from '../support/privateBus';
import { Background, freePorts } from '../support/systemProcess';
import { nbdWords } from './contender';
import type { Contender } from './contender';
import { acceptsConnections } from './listening';

export interface QemuPlace {
  /** The program; version 10, since older servers leave Nagle's algorithm on. */
  readonly program: string;
  readonly folder: string;
  /** Two files of the same size. */
  readonly files: readonly [string, string];
}

const FILE_SETTINGS = 'aio=io_uring, cache.direct=on';

export async function startPlain(place: QemuPlace): Promise<Contender> {
  const socket = join(place.folder, 'plain.sock');
  const server = start(place, [...blockFile('a', place.files[0]), ...serve('a', socket)]);
  await acceptsConnections({ path: socket });
  return {
    name: 'qemu plain',
    settings: `qemu-storage-daemon, one file, not replicated; ${FILE_SETTINGS}`,
    fioWords: nbdWords(socket, 'r0'),
    pids: [server.pid],
    close: () => server.kill(),
  };
}

export async function startQuorum(place: QemuPlace): Promise<Contender> {
  const replica = await startReplica(place, 'quorum-replica');
  const socket = join(place.folder, 'quorum.sock');
  const driver = ['driver=quorum', 'node-name=q', 'children.0=a', 'children.1=n'];
  const policy = ['vote-threshold=1', 'read-pattern=fifo'];
  const primary = start(place, [
    ...blockFile('a', place.files[0]),
    ...blockReplica('n', replica.port),
    ...['--blockdev', [...driver, ...policy].join(',')],
    ...serve('q', socket),
  ]);
  await acceptsConnections({ path: socket });
  return {
    name: 'qemu quorum',
    settings: `qemu-storage-daemon quorum, file and NBD over TCP; fifo reads, ${FILE_SETTINGS}`,
    fioWords: nbdWords(socket, 'r0'),
    pids: [primary.pid, replica.server.pid],
    close: () => closeAll([primary, replica.server]),
  };
}

export async function startMirrorJob(place: QemuPlace): Promise<Contender> {
  const replica = await startReplica(place, 'mirror-replica');
  const socket = join(place.folder, 'mirror.sock');
  const monitor = join(place.folder, 'mirror.qmp');
  const primary = start(place, [
    ...blockFile('a', place.files[0]),
    ...blockReplica('n', replica.port),
    ...['--chardev', `socket,id=m,path=${monitor},server=on,wait=off`, '--monitor', 'm'],
    ...serve('a', socket),
  ]);
  await acceptsConnections({ path: socket });
  await mirrorUntilReady(monitor);
  return {
    name: 'qemu mirror',
    settings: `qemu-storage-daemon mirror job, copy-mode write-blocking; ${FILE_SETTINGS}`,
    fioWords: nbdWords(socket, 'r0'),
    pids: [primary.pid, replica.server.pid],
    close: () => closeAll([primary, replica.server]),
  };
}

async function startReplica(
  place: QemuPlace,
  name: string,
): Promise<{ server: Background; port: number }> {
  const [port = 0] = await freePorts(1);
  const address = `addr.type=inet,addr.host=127.0.0.1,addr.port=${port}`;
  const served = ['--nbd-server', address, ...exportOf('b')];
  const log = join(place.folder, `${name}.log`);
  const words = [...blockFile('b', place.files[1]), ...served];
  const server = Background.start(place.program, words, log);
  await acceptsConnections({ host: '127.0.0.1', port });
  return { server, port };
}

function start(place: QemuPlace, words: readonly string[]): Background {
  return Background.start(place.program, words, join(place.folder, 'qemu.log'));
}

function blockFile(node: string, file: string): readonly string[] {
  const cache = 'aio=io_uring,cache.direct=on';
  return ['--blockdev', `driver=file,node-name=${node},filename=${file},${cache}`];
}

function blockReplica(node: string, port: number): readonly string[] {
  const server = `server.type=inet,server.host=127.0.0.1,server.port=${port},export=r0`;
  return ['--blockdev', `driver=nbd,node-name=${node},${server}`];
}

function serve(node: string, socket: string): readonly string[] {
  return ['--nbd-server', `addr.type=unix,addr.path=${socket}`, ...exportOf(node)];
}

function exportOf(node: string): readonly string[] {
  return ['--export', `nbd,id=e,node-name=${node},writable=on,name=r0`];
}

async function closeAll(servers: readonly Background[]): Promise<void> {
  for (const server of servers) await server.kill();
}

/** Over QMP: the job copies everything, then each write goes to both. */
async function mirrorUntilReady(monitor: string): Promise<void> {
  const socket = connect(monitor);
  await once(socket, 'connect');
  let isReady = false;
  let failure = '';
  createInterface({ input: socket }).on('line', (line) => {
    if (line.includes('"BLOCK_JOB_READY"')) isReady = true;
    if (line.includes('"error"')) failure = line;
  });
  say(socket, 'qmp_capabilities');
  const how = { 'copy-mode': 'write-blocking', sync: 'full' };
  say(socket, 'blockdev-mirror', { 'job-id': 'j', device: 'a', target: 'n', ...how });
  try {
    await until('the mirror job is ready', () => {
      if (failure !== '') throw new Error(`qemu-storage-daemon: ${failure}`);
      return isReady;
    });
  } finally {
    // The job goes on without its monitor.
    socket.destroy();
  }
}

function say(socket: Socket, execute: string, words: object = {}): void {
  socket.write(`${JSON.stringify({ execute, arguments: words })}\n`);
}
