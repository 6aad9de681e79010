// blkmirrord as a process: wrong usage, one at a time, signals, and what is up after its end.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { until } from '../support/privateBus';
import type { Outcome } from '../support/privateBus';
import { freePorts, repository, run } from '../support/systemProcess';
import { SystemNode } from '../support/systemNode';

const DAEMON = join(repository, 'bin/blkmirrord.js');
const folder = mkdtempSync(join(tmpdir(), 'blkmirror-daemon-'));
const node = new SystemNode('alpha', folder);

beforeAll(async () => {
  const [own = 0, other = 0] = await freePorts(2);
  configure(own, other);
  await run('truncate', ['--size=16M', join(folder, 'r0.img')]);
  await node.start();
  await node.must('create-md', 'r0');
});

afterAll(async () => {
  await node.remove();
  rmSync(folder, { recursive: true, force: true });
});

function configure(own: number, other: number, options = ''): void {
  const section = (name: string, port: number): string =>
    `[node "${name}"]\naddress = 127.0.0.1:${String(port)}\ndisk = ${folder}/r0.img\n`;
  node.writeConfig('r0', `${options}\n${section('alpha', own)}${section('beta', other)}`);
}

function daemon(...args: string[]): Promise<Outcome> {
  return run(process.execPath, [DAEMON, ...args], { deadlineMs: 60_000 });
}

async function upNames(): Promise<string[]> {
  return (await node.devices()).map((device) => device.name);
}

test('--help and --version answer, wrong usage is status 2 and one line', async () => {
  expect(await daemon('--version')).toMatchObject({ status: 0, stderr: '' });
  expect((await daemon('--help')).stdout).toContain('--run-dir DIR');
  for (const args of [['--nonsense'], ['up'], ['--run-dir'], ['--bus', 'nonsense']]) {
    const outcome = await daemon(...args);
    expect(outcome).toMatchObject({ status: 2, stdout: '' });
    expect(outcome.stderr).toMatch(/^blkmirrord: [^\n]+\n$/);
  }
});

test('a second one with the same run-dir is refused', async () => {
  const outcome = await daemon('--run-dir', node.runDir, '--bus', 'unix:path=/nonexistent');
  expect(outcome.status).toBe(1);
  expect(outcome.stderr).toMatch(/^blkmirrord: another blkmirrord runs with the run-dir .*\n$/);
});

test('a second one on the same bus is refused', async () => {
  const runDir = join(folder, 'other');
  const outcome = await daemon('--run-dir', runDir, '--bus', node.bus.address);
  expect(outcome.status).toBe(1);
  expect(outcome.stderr).toMatch(/^blkmirrord: another service owns org\.blkmirror\.Mirror1/);
});

test('what was up is up again after a kill and a clean end, until it is taken down', async () => {
  await node.up('r0');
  await node.kill9();
  await node.start();
  expect(await upNames()).toEqual(['r0']);
  await node.stop();
  await node.start();
  expect(await upNames()).toEqual(['r0']);
  await node.down('r0');
  await node.kill9();
  await node.start();
  expect(await upNames()).toEqual([]);
});

test('SIGTERM ends it cleanly, with a Primary and its socket', async () => {
  await node.up('r0');
  await node.must('promote', 'r0', '--force');
  expect(existsSync(node.socket())).toBe(true);
  await node.stop();
  expect(node.log()).toMatch(/"msg":"ended"\}\n$/);
  expect(readdirSync(node.runDir).filter((name) => name.endsWith('.sock'))).toEqual([]);
  await node.start();
  expect(await node.status()).toMatchObject({ role: 'Secondary', diskState: 'UpToDate' });
  await node.down('r0');
});

test('SIGHUP with a wrong file leaves the resource as it is and names the line', async () => {
  await node.up('r0');
  const right = node.readConfig('r0');
  node.writeConfig('r0', `[net]\nnonsense = 1\n${right}`);
  node.reload();
  await until('the line is logged', () => node.log().includes('r0.conf:2: '));
  expect(await upNames()).toEqual(['r0']);
  node.writeConfig('r0', `[net]\ntimeout-ms = 3000\n${right}`);
  node.reload();
  await until('it is reconfigured', () => node.log().includes('"msg":"reconfigured"'));
  await node.down('r0');
});

test('it goes on when nobody reads its log any more', async () => {
  const runDir = join(folder, 'unread');
  const args = [DAEMON, '--run-dir', runDir, '--bus', 'unix:path=/nonexistent'];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  const ended = once(child, 'exit');
  for (let count = 0; count < 5; count++) child.kill('SIGHUP');
  await until('it has its run-dir', () => existsSync(join(runDir, 'state')));
  child.kill('SIGTERM');
  expect((await ended)[0]).toBe(0);
});
