// How a process ends that has copies attached: soon, and with a clean end on disk when it ends by
// itself; an exit in the middle is a crash.

import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { Bench, attachSpec, createSpec } from './fixture';

const ADDON = join(__dirname, '../../../native/build/Release/blkmirror.node');

let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});

afterEach(() => bench.close());

/** Runs a script with `addon` and `spec` in it; its exit status. */
async function runScript(spec: unknown, script: string): Promise<number | null> {
  const head = `const addon = require(${JSON.stringify(ADDON)});
    const spec = ${sourceOf(spec)};
    const attach = (onEvent) => {
      const device = new addon.Device(spec, (event) => onEvent(event.type, device));
      device.keepAlive(true);
    };`;
  const child = spawn(process.execPath, ['-e', head + script], { stdio: 'inherit' });
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const status = await new Promise<number | null>((resolve) => child.on('exit', resolve));
  clearTimeout(timer);
  return status;
}

/** As an expression of JavaScript. */
function sourceOf(spec: unknown): string {
  const plain = JSON.stringify(spec, (_, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value,
  );
  return plain.replace(/"(\d+n)"/g, '$1');
}

/** Whether the copy, attached once before, was closed cleanly. */
async function closedCleanly(disk: string): Promise<boolean> {
  const spec = attachSpec(disk, { claimTimeoutMs: 10_000 });
  const device = await bench.attach(spec, () => undefined);
  expect(device.metadata().generation).toBe(2n);
  return !device.metadata().crashed;
}

test('a process with nothing left to do ends and closes its copy', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const script = `attach((type, device) => { if (type === 'attached') device.keepAlive(false); });`;
  expect(await runScript(attachSpec(disk), script)).toBe(0);
  expect(await closedCleanly(disk)).toBe(true);
}, 30_000);

test.each([
  ['process.exit()', `attach((type) => { if (type === 'attached') process.exit(7); });`, 7],
  [
    'an exception in an event',
    `process.on('uncaughtException', () => process.exit(9));
     attach((type) => { if (type === 'attached') throw new Error('x'); });`,
    9,
  ],
  [
    'a kill',
    `attach((type) => { if (type === 'attached') process.kill(process.pid, 'SIGKILL'); });`,
    null,
  ],
])(
  'after %s the next attach sees a crash',
  async (_name, script, status) => {
    const disk = bench.disk('a');
    await bench.plane.createMetadata(createSpec(disk));
    expect(await runScript(attachSpec(disk), script)).toBe(status);
    expect(await closedCleanly(disk)).toBe(false);
  },
  30_000,
);

test('a process that waits for a claim can end', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  await bench.attach(attachSpec(disk), () => undefined);
  const spec = attachSpec(disk, { claimTimeoutMs: 60_000 });
  const script = `attach(() => undefined); setTimeout(() => process.exit(3), 100);`;
  expect(await runScript(spec, script)).toBe(3);
}, 30_000);

test('a worker thread ends with its copies', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const inside = `const { workerData } = require('node:worker_threads');
    const addon = require(workerData.addon);
    const lobby = new addon.Lobby(() => undefined);
    lobby.listen('127.0.0.1', 0);
    const device = new addon.Device(workerData.spec, () => device.keepAlive(false));
    device.keepAlive(true);`;
  const script = `const { Worker } = require('node:worker_threads');
    const workerData = { addon: ${JSON.stringify(ADDON)}, spec };
    new Worker(${JSON.stringify(inside)}, { eval: true, workerData })
      .on('exit', (code) => process.exit(code + 4));`;
  expect(await runScript(attachSpec(disk), script)).toBe(4);
  expect(await closedCleanly(disk)).toBe(true);
}, 30_000);
