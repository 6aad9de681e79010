// A planned restart: the process that ends has its successor loaded first, which goes on as soon
// as everything is free, and whom the service manager watches from then on.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { FakeManager } from '../support/fakeManager';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';

jest.setTimeout(120_000);

let manager: FakeManager;
let cluster: Cluster;
let successor: number | undefined;

beforeEach(async () => {
  manager = new FakeManager();
  const wrapper = ['env', `NOTIFY_SOCKET=${manager.address}`];
  cluster = await Cluster.inSync({ tmpfs: true, wrapper });
  await manager.joinBus(cluster.first.bus.address);
});

afterEach(async () => {
  if (successor !== undefined && isThere(successor)) process.kill(successor, 'SIGKILL');
  successor = undefined;
  await cluster.remove();
  await manager.remove();
});

function isThere(pid: number): boolean {
  return existsSync(`/proc/${pid}`);
}

/** Of who serves on its bus now. */
async function pidOf(node: SystemNode): Promise<number> {
  const { stdout } = await node.bus.busctl('status', 'org.blkmirror.Mirror1');
  return Number(/^PID=(\d+)/m.exec(stdout)?.[1]);
}

async function restart(node: SystemNode): Promise<void> {
  manager.job = 'restart';
  await node.stop();
  manager.job = '';
}

test('a restart hands over to a process that was loaded before, and no write is lost', async () => {
  const { first } = cluster;
  const before = first.pid;
  const data = randomBytes(65_536);
  const client = await NbdClient.open(first.socket());
  await client.write(0, data);
  await client.close();
  await restart(first);
  await until('the successor answers', async () => (await first.cli('status', 'r0')).status === 0);
  successor = await pidOf(first);
  expect(successor).not.toBe(before);
  expect(first.log()).toContain('"successor":true');
  await first.must('promote', 'r0');
  const reader = await NbdClient.open(first.socket());
  expect(await reader.read(0, data.length)).toEqual(data);
  await reader.close();
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('the process that the manager starts next tells it whom to watch, and ends', async () => {
  const { first } = cluster;
  await restart(first);
  await until('the successor answers', async () => (await first.cli('status', 'r0')).status === 0);
  successor = await pidOf(first);
  manager.states.length = 0;
  const next = await first.startAnother();
  expect(next.status).toBe(0);
  expect(manager.states).toContain(`MAINPID=${successor}\nREADY=1`);
  await until('nobody looks for it any more', () => noSuccessor(first));
  // From here on another start is one too many.
  expect((await first.startAnother()).stderr).toMatch(/another blkmirrord runs/);
  process.kill(successor, 'SIGTERM');
  await until('it has ended', () => !isThere(successor ?? 0));
});

function noSuccessor(node: SystemNode): boolean {
  return !readdirSync(node.runDir).some((name) => name.startsWith('successor'));
}

test('without a successor the restart is one by the manager', async () => {
  const { first } = cluster;
  const obstacle = join(first.runDir, 'successor-notices.sock');
  mkdirSync(obstacle);
  await restart(first);
  expect(first.log()).toContain('no successor');
  rmSync(obstacle, { recursive: true });
  await first.start();
  expect((await first.status()).role).toBe('Secondary');
  await cluster.untilInSync();
});

test('a stop has no successor', async () => {
  const { first } = cluster;
  manager.job = 'stop';
  await first.stop();
  expect(first.log()).not.toContain('successor":true');
  expect(noSuccessor(first)).toBe(true);
});
