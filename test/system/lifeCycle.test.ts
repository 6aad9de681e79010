// up, down, restart and reload of the daemon.

import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';

jest.setTimeout(120_000);

let cluster: Cluster;

afterEach(() => cluster.remove());

test('up and down may be said twice', async () => {
  cluster = await Cluster.up({ tmpfs: true });
  const { first } = cluster;
  await first.must('up', 'r0');
  await first.must('up', 'all');
  await first.must('down', 'r0');
  await first.must('down', 'r0');
  expect(JSON.parse(await first.must('status', '--json'))).toEqual([]);
  expect((await first.cli('status', 'r0')).status).toBe(1);
});

test('what was up is up again after a stop or a crash of the daemon, as Secondary', async () => {
  cluster = await Cluster.inSync({ resources: ['r0', 'r1'], tmpfs: true });
  const { first } = cluster;
  await first.must('down', 'r1');
  for (const end of ['stop', 'kill9'] as const) {
    await first.must('promote', 'r0');
    await first[end]();
    expect(first.isRunning).toBe(false);
    await first.start();
    const shown = await first.devices();
    expect(shown.map((device) => [device.name, device.role])).toEqual([['r0', 'Secondary']]);
    await cluster.untilInSync('r0');
  }
});

test('a clean stop leaves nothing to resync and nothing in the run-dir that answers', async () => {
  cluster = await Cluster.inSync({ tmpfs: true });
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  await client.write(0, randomBytes(4096));
  await client.close();
  await second.must('down', 'r0');
  await first.stop();
  const sockets = readdirSync(first.runDir).filter((name) => name.endsWith('.sock'));
  expect(sockets).toEqual([]);
  await first.start();
  expect((await first.peer('beta')).outOfSyncBytes).toBe(0);
  await second.must('up', 'r0');
  await cluster.untilInSync();
  await cluster.expectIdentical();
});

test('a second daemon with the same run-dir is refused and the first goes on', async () => {
  cluster = await Cluster.up({ tmpfs: true });
  const { first } = cluster;
  const other = await first.startAnother();
  expect(other.status).toBe(1);
  expect(other.stderr).toMatch(/another blkmirrord runs with the run-dir/);
  expect(first.isRunning).toBe(true);
  expect((await first.status()).name).toBe('r0');
});

test('SIGHUP takes over what changed without disturbing the connection', async () => {
  cluster = await Cluster.inSync({ resources: ['r0', 'r1'], tmpfs: true });
  const { first, second } = cluster;
  const client = await NbdClient.open(first.socket());
  first.writeConfig('r0', cluster.configText(first, 'r0', '[net]\ntimeout-ms = 1000\n'));
  first.reload();
  await until('it is reconfigured', () => first.log().includes('reconfigured'));
  expect((await first.peer('beta')).replicationState).toBe('Established');
  await client.write(0, Buffer.alloc(4096, 1));
  const pausedAt = performance.now();
  await second.pause();
  await client.write(0, Buffer.alloc(4096, 2));
  // The default would have been six seconds.
  expect(performance.now() - pausedAt).toBeLessThan(4000);
  second.resume();
  await client.close();
});

test('SIGHUP with a wrong file changes nothing and says where it is wrong', async () => {
  cluster = await Cluster.inSync({ tmpfs: true });
  const { first } = cluster;
  first.writeConfig('r0', cluster.configText(first, 'r0', '[net]\ntimeout-mss = 1000\n'));
  first.reload();
  await until('it is told', () => first.log().includes('did you mean timeout-ms'));
  await cluster.untilInSync();
  expect(existsSync(first.socket())).toBe(true);
});
