// Sockets left with the service manager, and taken over from it, over a manager in memory.

import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import type { ManagerSocket } from '../../../src/plane/nativePlane';
import { asSocketStore, FdStore, openFdStore, readPassed } from '../../../src/systemd/fdStore';

const log = pino({ level: 'silent' });
let folder: string;
let files: number;
let sent: string[];
let failure: string;
let answers: boolean;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blkmirror-store-'));
  files = 0;
  sent = [];
  failure = '';
  answers = true;
});

afterEach(() => rmSync(folder, { recursive: true }));

function descriptorOf(text: string): number {
  files += 1;
  const fd = openSync(join(folder, String(files)), 'wx+');
  writeSync(fd, text);
  return fd;
}

const manager: ManagerSocket = {
  send: (state) => (sent.push(state.replaceAll('\n', ' ')), ''),
  store: (name) => (sent.push(`store ${name}`), failure),
  settle: () => {
    sent.push('settle');
    return answers ? Promise.resolve() : Promise.reject(new Error('no answer'));
  },
  keepBytes: (bytes) => descriptorOf(Buffer.from(bytes).toString()),
};

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd);
    return true;
  } catch {
    return false;
  }
}

test('descriptors are those from 3 on, by their names, and for this process only', () => {
  const passed = { LISTEN_PID: '7', LISTEN_FDS: '2', LISTEN_FDNAMES: 'socket-r0:unread-r0' };
  expect([...readPassed(passed, 7)]).toEqual([
    ['socket-r0', 3],
    ['unread-r0', 4],
  ]);
  expect(readPassed(passed, 8).size).toBe(0);
  expect(readPassed({ LISTEN_PID: '7', LISTEN_FDS: 'x' }, 7).size).toBe(0);
});

test('without a manager nothing is kept, and the variables are gone for children', async () => {
  const env = { LISTEN_PID: '1', LISTEN_FDS: '1', LISTEN_FDNAMES: 'a' };
  expect(openFdStore(env, 7, log)).toBeUndefined();
  expect(env).toEqual({});
  await expect(
    asSocketStore(undefined).put('r0', { fd: 3, unread: new Uint8Array() }),
  ).rejects.toThrow('no service manager');
  expect(await asSocketStore(undefined).take('r0')).toBeUndefined();
});

test('what is put is kept when put() resolves; the caller still owns its socket', async () => {
  const fd = descriptorOf('');
  const unread = Buffer.from('half a request');
  await new FdStore(manager, new Map(), log).put('r0', { fd, unread });
  expect(sent).toEqual(['store unread-r0', 'store socket-r0', 'settle']);
  expect([isOpen(fd), isOpen(fd + 1)]).toEqual([true, false]);
  closeSync(fd);
});

test('a successor gets what the manager would have got, one socket at a time', async () => {
  const store = new FdStore({ ...manager, store: () => 'ENOENT' }, new Map(), log);
  store.redirect(manager);
  const fd = descriptorOf('');
  const unread = Buffer.from('x');
  await Promise.all([store.put('r0', { fd, unread }), store.put('r1', { fd, unread })]);
  const one = (name: string): string[] => [
    `store unread-${name}`,
    `store socket-${name}`,
    'settle',
  ];
  expect(sent).toEqual([...one('r0'), ...one('r1')]);
  closeSync(fd);
});

test('what the process before handed over the manager never had', async () => {
  const fd = descriptorOf('');
  const left = new Map([
    ['socket-r0', fd],
    ['unread-r0', descriptorOf('')],
  ]);
  const store = new FdStore(manager, left, log, false);
  expect((await store.take('r0'))?.fd).toBe(fd);
  expect(sent).toEqual([]);
  closeSync(fd);
});

test('a manager that keeps nothing is an error', async () => {
  failure = 'ENOENT';
  const put = new FdStore(manager, new Map(), log).put('r0', { fd: 0, unread: new Uint8Array() });
  await expect(put).rejects.toThrow('the service manager does not keep sockets: ENOENT');
});

test('what is taken is nobody else’s any more, and comes once', async () => {
  const fd = descriptorOf('');
  const bytes = descriptorOf('half a request');
  const left = new Map([
    ['socket-r0', fd],
    ['unread-r0', bytes],
  ]);
  const store = new FdStore(manager, left, log);
  const taken = await store.take('r0');
  expect(taken?.fd).toBe(fd);
  expect(Buffer.from(taken?.unread ?? []).toString()).toBe('half a request');
  expect(sent).toEqual([
    'FDSTOREREMOVE=1 FDNAME=socket-r0',
    'FDSTOREREMOVE=1 FDNAME=unread-r0',
    'settle',
  ]);
  expect([isOpen(fd), isOpen(bytes)]).toEqual([true, false]);
  expect(await store.take('r0')).toBeUndefined();
  closeSync(fd);
});

test('a socket without its bytes, or bytes without a socket, are of no use', async () => {
  const fd = descriptorOf('');
  const bytes = descriptorOf('x');
  const left = new Map([
    ['socket-r0', fd],
    ['unread-r1', bytes],
  ]);
  const store = new FdStore(manager, left, log);
  expect(await store.take('r0')).toBeUndefined();
  expect(await store.take('r1')).toBeUndefined();
  expect([isOpen(fd), isOpen(bytes)]).toEqual([false, false]);
});

test('what nobody took is closed here and there, also when the manager is silent', async () => {
  const fd = descriptorOf('');
  answers = false;
  await new FdStore(manager, new Map([['socket-r0', fd]]), log).discard();
  expect(isOpen(fd)).toBe(false);
  expect(sent).toEqual(['FDSTOREREMOVE=1 FDNAME=socket-r0', 'settle']);
});
