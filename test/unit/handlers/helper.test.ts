// The handler process: environment, exit status, output, deadline, descriptors, its own end and
// that of its daemon.

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { HelperProcess } from '../../../src/handlers/helper';
import type { HandlerCall, HandlerEnd } from '../../../src/model/handlers';
import type { ResourceName } from '../../../src/model/states';

const PROGRAM = join(__dirname, '../../../native/build/Release/blkmirror-handlers');

let folder: string;
let lines: string[];
let helper: HelperProcess;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blkmirror-handlers-'));
  lines = [];
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  helper = new HelperProcess(PROGRAM, log);
});

afterEach(() => {
  helper.close();
  rmSync(folder, { recursive: true, force: true });
});

function run(command: string, more: Partial<HandlerCall> = {}): Promise<HandlerEnd> {
  const resource = 'r0' as ResourceName;
  const call = { name: 'fence-peer', resource, command, variables: {}, timeoutMs: 60_000 } as const;
  return helper.run({ ...call, ...more });
}

function logged(message: string): boolean {
  return lines.some((line) => line.includes(message));
}

async function until(condition: () => boolean): Promise<void> {
  const end = Date.now() + 20_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`not reached; logged:\n${lines.join('')}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function isAlive(pid: number): boolean {
  try {
    // A zombie that nobody reaps here is no longer alive.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** The number that a handler wrote to the file of that name. */
async function pidIn(name: string): Promise<number> {
  const read = (): number => {
    try {
      return Number(readFileSync(join(folder, name), 'utf8').trim());
    } catch {
      return 0;
    }
  };
  await until(() => read() > 0);
  return read();
}

test.each([0, 3, 7, 255])('exit status %d comes back', async (status) => {
  expect(await run(`exit ${status}`)).toEqual({ kind: 'exited', status });
});

test('the environment is what was given, with a plain PATH', async () => {
  const variables = { DRBD_RESOURCE: 'r0', BLKMIRROR_PEER: 'two words; $x' };
  await run('printf "%s|%s\\n" "$DRBD_RESOURCE" "$BLKMIRROR_PEER"; env | sort', { variables });
  expect(logged('r0|two words; $x')).toBe(true);
  expect(logged('PATH=/usr/local/sbin:')).toBe(true);
  expect(lines.some((line) => line.includes('NODE_') || line.includes('JEST'))).toBe(false);
});

test('output is logged line by line, of both streams, the last one too', async () => {
  await run('echo one; echo two >&2; printf three');
  const texts = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
  expect(texts.filter((text) => ['one', 'two', 'three'].includes(text))).toHaveLength(3);
});

test('output without end is cut, and nobody waits for it', async () => {
  expect(await run('yes | head -c 3000000; exit 4')).toEqual({ kind: 'exited', status: 4 });
  expect(logged('further output is left out')).toBe(true);
});

test('what is missing or not executable answers as the shell does', async () => {
  expect(await run('/nonexistent/handler')).toEqual({ kind: 'exited', status: 127 });
  expect(await run('/dev/null')).toEqual({ kind: 'exited', status: 126 });
  expect(logged('not found')).toBe(true);
});

test('a handler that was killed has failed', async () => {
  const end = await run('kill -9 $$');
  expect(end).toEqual({ kind: 'failed', message: 'killed by SIGKILL' });
});

test('the deadline kills the whole process group', async () => {
  const hanging = `sleep 600 & echo $! > ${folder}/child; sleep 601`;
  const end = await run(hanging, { timeoutMs: 500 });
  expect(end).toEqual({ kind: 'failed', message: 'did not end within 500 ms and was killed' });
  const child = await pidIn('child');
  await until(() => !isAlive(child));
});

test('it inherits nothing but its output', async () => {
  await run('exec ls -l /proc/self/fd');
  const held = lines.flatMap((line) => /([0-9]+) -> ([^"]*)/.exec(line)?.slice(1, 3) ?? []);
  expect(held.slice(0, 2)).toEqual(['0', '/dev/null']);
  // The last one is what ls itself reads.
  const numbers = held.filter((_, index) => index % 2 === 0);
  expect(numbers).toEqual(['0', '1', '2', '3']);
  expect(held[7]).toMatch(/^\/proc\/[0-9]+\/fd$/);
});

test('the helper itself holds nothing but its socket', async () => {
  await run('true');
  const fds = readdirSync(`/proc/${String(helper.pid)}/fd`).map(Number);
  // The three streams, the socket, and its own signal descriptor.
  expect(fds.sort()).toEqual([0, 1, 2, 3, 4]);
});

test('many at once all come back', async () => {
  const runs = Array.from({ length: 200 }, (_, index) => run(`exit ${index % 8}`));
  const ends = await Promise.all(runs);
  ends.forEach((end, index) => expect(end).toEqual({ kind: 'exited', status: index % 8 }));
});

test('what is too long is refused', async () => {
  const end = await run(`true ${'x'.repeat(70_000)}`);
  expect(end).toEqual({ kind: 'failed', message: 'its command and environment are too long' });
});

test('when the helper dies, what it ran has failed and the next one runs', async () => {
  const running = run(`sleep 600 & echo $! > ${folder}/child; wait`);
  const child = await pidIn('child');
  const before = helper.pid ?? 0;
  process.kill(before, 'SIGKILL');
  expect(await running).toEqual({ kind: 'failed', message: 'the handler process ended' });
  expect(await run('exit 5')).toEqual({ kind: 'exited', status: 5 });
  expect(helper.pid).not.toBe(before);
  await until(() => !isAlive(child));
});

test('a helper that cannot be started answers when it can be, and says why meanwhile', async () => {
  const log = pino({ base: null }, { write: (line: string) => void lines.push(line) });
  const other = new HelperProcess(join(folder, 'missing'), log);
  const waiting = other.run({
    ...{ name: 'pri-lost', resource: 'r0' as ResourceName, command: 'true' },
    ...{ variables: {}, timeoutMs: 1000 },
  });
  await until(() => logged('ENOENT'));
  other.close();
  expect(await waiting).toEqual({ kind: 'failed', message: 'the service is ending' });
});

test('everything ends with a daemon that is killed, also what left its process group', async () => {
  const daemon = spawn(process.execPath, ['-e', DAEMON, PROGRAM, folder], { stdio: 'ignore' });
  const pids: number[] = [];
  for (const name of ['helper', 'shell', 'child', 'away']) pids.push(await pidIn(name));
  expect(pids.filter(isAlive)).toEqual(pids);
  daemon.kill('SIGKILL');
  for (const pid of pids) await until(() => !isAlive(pid));
});

/** Starts the helper as HelperProcess does, and one handler, by the bytes of its messages. */
const DAEMON = `
const { spawn } = require('node:child_process');
const { writeFileSync } = require('node:fs');
const [program, folder] = process.argv.slice(1);
const stdio = ['ignore', 'ignore', 'ignore', 'pipe'];
const helper = spawn(program, [], { stdio, detached: true, env: {} });
writeFileSync(folder + '/helper', String(helper.pid));
const command = 'echo $$ > ' + folder + '/shell; sleep 600 & echo $! > ' + folder + '/child; '
  + 'setsid sh -c "echo \\\\$\\\\$ > ' + folder + '/away; sleep 600" & wait';
const body = Buffer.from(command + '\\0PATH=/usr/bin:/bin\\0');
const head = Buffer.alloc(16);
head.writeUInt32BE(1, 0);
head.writeUInt32BE(1, 4);
head.writeUInt32BE(body.length + 4, 8);
head.writeUInt32BE(60000, 12);
helper.stdio[3].write(Buffer.concat([head, body]));
setInterval(() => undefined, 1000);
`;
