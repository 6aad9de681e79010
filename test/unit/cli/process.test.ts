// The program as a process, as scripts see it: exit status, streams, a reader that goes away.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Folder } from '../config/folder';

const PROGRAM = join(__dirname, '../../../bin/blkmirror.js');
const NOWHERE = ['--bus', 'unix:path=/nonexistent/bus'];

interface Ended {
  readonly exit: number;
  readonly out: string;
  readonly err: string;
}

let folder: Folder;

beforeEach(() => {
  folder = new Folder();
});

afterEach(() => folder.remove());

function blkmirror(...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(process.execPath, [PROGRAM, ...args], { timeout: 20_000 }, (error, out, err) => {
      const exit = error === null ? 0 : typeof error.code === 'number' ? error.code : -1;
      resolve({ exit, out, err });
    });
  });
}

test('0, 1 and 2', async () => {
  const [version, refused, wrong] = await Promise.all([
    blkmirror('--version'),
    blkmirror(...NOWHERE, 'status', '--json'),
    blkmirror('frobnicate'),
  ]);
  expect(version.exit).toBe(0);
  expect(version.out).toMatch(/^[0-9]+\.[0-9]+\.[0-9]+\n$/);
  expect(refused).toMatchObject({ exit: 1, out: '' });
  expect(refused.err).toMatch(/^blkmirror: cannot reach the bus at .*\n$/);
  expect(wrong).toMatchObject({ exit: 2, out: '' });
});

test('a reader that goes away is no error', async () => {
  const child = spawn(process.execPath, [PROGRAM, '--help'], { stdio: ['ignore', 'pipe', 'pipe'] });
  child.stdout.destroy();
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  await once(child, 'close');
  expect(err).toBe('');
});

test('create-md needs neither a service nor a bus, and writes what it finds again', async () => {
  const disk = join(folder.path, 'disk');
  mkdirSync(join(folder.path, 'resources.d'));
  writeFileSync(disk, '');
  truncateSync(disk, 64 * 1024 * 1024);
  folder.writeResource(
    'r0',
    `[node "alpha"]\naddress = 127.0.0.1:7788\ndisk = ${disk}
[node "beta"]\naddress = 127.0.0.2:7788\ndisk = ${disk}\n`,
  );
  const options = ['--config-dir', folder.path, '--node', 'alpha', ...NOWHERE];
  const first = await blkmirror('create-md', 'r0', ...options);
  expect([first.exit, first.err]).toEqual([0, '']);
  expect(first.out).toContain('wrote metadata of r0 for alpha');
  const second = await blkmirror(...options, 'create-md', 'r0');
  expect(second).toMatchObject({ exit: 1, out: '' });
  expect(second.err).toContain('already holds metadata of resource r0 (node alpha)');
  expect((await blkmirror(...options, 'create-md', 'r0', '--force')).exit).toBe(0);
  rmSync(disk);
  const third = await blkmirror(...options, 'create-md', 'r0');
  expect(third.err).toContain(`run: truncate -s 1G ${disk}`);
});
