// Fencing with two daemons: nothing is acknowledged from the loss of a peer until the handler
// has answered, and what an administrator sees and does meanwhile.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';

jest.setTimeout(120_000);

let cluster: Cluster;
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blkmirror-fencing-'));
});

afterEach(async () => {
  await cluster.remove();
  rmSync(folder, { recursive: true, force: true });
});

/** The handler tells its pid, and answers with what is written to `answer`. */
const WAITING =
  'echo $$ > FOLDER/pid; while ! [ -s FOLDER/answer ]; do sleep 0.05; done; ' +
  'exit $(cat FOLDER/answer)';

function inSync(fencing: string, command = WAITING, timeoutMs = 30_000): Promise<Cluster> {
  const handler = `fence-peer = "${command.replaceAll('FOLDER', folder)}"`;
  const options = `[net]
fencing = ${fencing}
timeout-ms = 1000
[handlers]
${handler}
timeout-ms = ${String(timeoutMs)}
`;
  return Cluster.inSync({ tmpfs: true, options });
}

async function handlerPid(): Promise<number> {
  const file = join(folder, 'pid');
  await until('the handler runs', () => {
    return Promise.resolve(existsSync(file) && readFileSync(file, 'utf8').trim() !== '');
  });
  return Number(readFileSync(file, 'utf8'));
}

function isAlive(pid: number): boolean {
  return existsSync(`/proc/${String(pid)}/stat`);
}

test('who leaves on purpose is Outdated, and is not fenced', async () => {
  cluster = await inSync('resource-and-stonith');
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  await second.stop();
  await until('its farewell is heard', async () => {
    return (await first.peer('beta')).diskState === 'Outdated';
  });
  await client.write(0, Buffer.alloc(4096, 7));
  await client.close();
  expect(existsSync(join(folder, 'pid'))).toBe(false);
  await second.start();
  await cluster.untilInSync();
  await second.must('disconnect', 'r0');
  expect((await second.status()).diskState).toBe('Outdated');
  expect(existsSync(join(folder, 'pid'))).toBe(false);
});

test('resource-and-stonith acknowledges nothing until the handler has answered', async () => {
  cluster = await inSync('resource-and-stonith');
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  await client.write(0, Buffer.alloc(4096, 1));
  await second.kill9();
  let acknowledged = 0;
  const writes = [1, 2, 3].map(async (block) => {
    await client.write(block * 4096, Buffer.alloc(4096, block));
    acknowledged += 1;
  });
  await handlerPid();
  await until('the status says so', async () => (await first.status()).suspended);
  expect((await first.status()).suspendedReason).toBe('the fencing of beta runs');
  expect(await first.must('status')).toContain('I/O is suspended: the fencing of beta runs');
  expect(acknowledged).toBe(0);
  writeFileSync(join(folder, 'answer'), '4');
  await Promise.all(writes);
  await until('it goes on', async () => !(await first.status()).suspended);
  await client.close();
  await second.start();
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test.each([
  ['a handler that is missing', '/nonexistent/fence', 'exited with 127'],
  ['a handler that hangs', 'sleep 600', 'did not end within 500 ms'],
  ['a peer that is Primary', 'exit 6', 'it is Primary too'],
])('after %s I/O stays suspended until resume-io', async (_title, command, why) => {
  cluster = await inSync('resource-and-stonith', command, 500);
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  await second.kill9();
  let done = false;
  const write = client.write(0, Buffer.alloc(4096, 9)).then(() => (done = true));
  await until('the status says why', async () => {
    return (await first.status()).suspendedReason.includes(why);
  });
  expect(await first.refused('demote', 'r0')).toContain('run resume-io r0');
  expect(done).toBe(false);
  await first.must('resume-io', 'r0');
  await write;
  await client.close();
});

test('resource-only goes on while the handler runs', async () => {
  cluster = await inSync('resource-only');
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  await second.kill9();
  await handlerPid();
  await client.write(0, Buffer.alloc(4096, 3));
  writeFileSync(join(folder, 'answer'), '5');
  await client.close();
});

test('a Secondary without its Primary fences it before it is promoted', async () => {
  cluster = await inSync('resource-only');
  const { first, second } = cluster;
  await first.kill9();
  await until('beta is unsure', async () => (await second.status()).diskState === 'Consistent');
  writeFileSync(join(folder, 'answer'), '1');
  expect(await second.refused('promote', 'r0')).toMatch(/alpha is not fenced/);
  writeFileSync(join(folder, 'answer'), '7');
  await second.must('promote', 'r0');
  expect((await second.status()).diskState).toBe('UpToDate');
});

test('a daemon that is killed takes its handler with it', async () => {
  cluster = await inSync('resource-and-stonith');
  const { first, second } = cluster;
  await second.kill9();
  const pid = await handlerPid();
  expect(isAlive(pid)).toBe(true);
  await first.kill9();
  await until('the handler is gone', () => Promise.resolve(!isAlive(pid)));
});

test('a daemon that is stopped while suspended ends', async () => {
  cluster = await inSync('resource-and-stonith');
  const { first, second } = cluster;
  await second.kill9();
  const pid = await handlerPid();
  await first.stop();
  await until('the handler is gone', () => Promise.resolve(!isAlive(pid)));
});
