// The JavaScript side of both daemons is blocked for ten seconds: no I/O notices.

import { join } from 'node:path';
import { AckedWriter } from '../support/ackedWriter';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';
import { repository } from '../support/systemProcess';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeEach(async () => {
  const blocker = join(repository, 'test/support/blockMainThread.cjs');
  cluster = await Cluster.inSync({ wrapper: ['env', `NODE_OPTIONS=--require=${blocker}`] });
});

afterEach(() => cluster.remove());

function isOver(): boolean {
  return cluster.first.log().includes('was blocked for ten seconds');
}

async function blockBoth(): Promise<void> {
  for (const node of cluster.nodes) process.kill(node.pid, 'SIGUSR2');
  // A question asked at the same moment may still be answered.
  await until(
    'it answers no more',
    async () => !(await answersWithin(cluster.first.status(), 1000)),
  );
}

async function answersWithin(answer: Promise<unknown>, ms: number): Promise<boolean> {
  const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), ms));
  const answered = answer.then(
    () => true,
    () => true,
  );
  return Promise.race([answered, late]);
}

test('writing goes on, replicated, while no daemon can run JavaScript', async () => {
  const client = await NbdClient.open(cluster.first.socket());
  const writer = new AckedWriter({ blocks: 4000, depth: 16 });
  writer.start(client);
  await blockBoth();
  const begun = performance.now();
  await until('the ten seconds are over', isOver, 40_000);
  expect(writer.longestPauseMs(begun)).toBeLessThan(3000);
  expect(writer.acknowledged).toBeGreaterThan(5000);
  expect((await cluster.first.peer('beta')).replicationState).toBe('Established');
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});

test('a Secondary that dies meanwhile stops nothing either', async () => {
  const client = await NbdClient.open(cluster.first.socket());
  const writer = new AckedWriter({ blocks: 4000, depth: 16 });
  writer.start(client);
  await blockBoth();
  const killedAt = performance.now();
  await cluster.second.kill9();
  const now = writer.acknowledged;
  await until('writing goes on', () => writer.acknowledged > now + 1000);
  expect(cluster.first.log()).not.toContain('was blocked');
  expect(writer.longestPauseMs(killedAt)).toBeLessThan(3000);
  await cluster.second.start();
  await until('the ten seconds are over', isOver, 40_000);
  await cluster.untilInSync();
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});
