// The run-dir belongs to one service at a time, whatever became of the one before.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MirrorError } from '../../../src/model/errors';
import { claimRunDir } from '../../../src/service/runDir';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blkmirror-rundir-'));
});

afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('it is made if missing', () => {
  const path = join(folder, 'a/b');
  claimRunDir(path).release();
  expect(statSync(path).mode & 0o777).toBe(0o755);
});

test('a second claim is refused until the first is released', () => {
  const first = claimRunDir(folder);
  expect(() => claimRunDir(folder, 50)).toThrow(
    expect.objectContaining({ code: 'DeviceInUse' }) as MirrorError,
  );
  first.release();
  first.release();
  claimRunDir(folder).release();
});

test('the claim of a process that was killed is gone', async () => {
  const script = `exec 9>>"$1/blkmirrord.lock"; flock -n 9; echo locked; exec sleep 60`;
  const child = spawn('sh', ['-c', script, 'sh', folder], { stdio: ['ignore', 'pipe', 'ignore'] });
  await once(child.stdout, 'data');
  expect(() => claimRunDir(folder, 50)).toThrow(MirrorError);
  child.kill('SIGKILL');
  await once(child, 'exit');
  claimRunDir(folder).release();
});

test('stale sockets are removed, other files stay', async () => {
  const socket = join(folder, 'r0.sock');
  const server = createServer().listen(socket);
  await once(server, 'listening');
  writeFileSync(join(folder, 'up.json'), '{"up":[]}');
  claimRunDir(folder).release();
  expect(existsSync(socket)).toBe(false);
  expect(existsSync(join(folder, 'up.json'))).toBe(true);
  server.close();
});

test('a place where no folder can be made is told in words', () => {
  writeFileSync(join(folder, 'file'), '');
  expect(() => claimRunDir(join(folder, 'file/run'))).toThrow(/^cannot make the folder/);
});
