// Who may be Primary, and when it may stop being it.

import { NbdClient } from '../support/nbdClient';
import { existsSync } from 'node:fs';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeEach(async () => {
  cluster = await Cluster.inSync({ tmpfs: true });
});

afterEach(() => cluster.remove());

test('promote is refused while the peer is Primary, naming it', async () => {
  const { first, second } = cluster;
  expect(await second.refused('promote', 'r0')).toMatch(/alpha is Primary/);
  expect(await second.refused('promote', 'r0', '--force')).toMatch(/alpha is Primary/);
  expect((await second.status()).role).toBe('Secondary');
  expect(existsSync(second.socket())).toBe(false);
  await first.must('demote', 'r0');
  await second.must('promote', 'r0');
  expect(existsSync(first.socket())).toBe(false);
});

test('of two promotions at once exactly one succeeds', async () => {
  const { first, second } = cluster;
  await first.must('demote', 'r0');
  for (let round = 0; round < 5; round++) {
    const outcomes = await Promise.allSettled([
      first.call('r0', 'Promote'),
      second.call('r0', 'Promote'),
    ]);
    expect(outcomes.filter((one) => one.status === 'fulfilled')).toHaveLength(1);
    const roles = [(await first.status()).role, (await second.status()).role];
    expect(roles.sort()).toEqual(['Primary', 'Secondary']);
    await first.call('r0', 'Demote');
    await second.call('r0', 'Demote');
  }
});

test('demote and down are refused while clients are attached, naming them', async () => {
  const { first } = cluster;
  const client = await NbdClient.open(first.socket());
  for (const command of ['demote', 'down']) {
    expect(await first.refused(command, 'r0')).toMatch(
      new RegExp(`in use by .*${String(process.pid)}`),
    );
  }
  await client.write(0, Buffer.alloc(4096, 7));
  await client.close();
  await until('the client is gone', async () => (await first.cli('demote', 'r0')).status === 0);
  expect((await first.status()).role).toBe('Secondary');
});

test('demoting a Secondary and promoting a Primary succeed', async () => {
  await cluster.second.must('demote', 'r0');
  await cluster.first.must('promote', 'r0');
});

test('an Inconsistent copy is promoted only with --force', async () => {
  const { first, second } = cluster;
  await first.must('down', 'r0');
  await second.must('down', 'r0');
  await second.must('create-md', 'r0', '--force');
  await second.must('up', 'r0');
  expect(await second.refused('promote', 'r0')).toMatch(/Inconsistent.*--force/);
  expect((await second.status()).mayPromote).toBe(false);
  await second.must('promote', 'r0', '--force');
  expect(await second.status()).toMatchObject({ role: 'Primary', diskState: 'UpToDate' });
  await first.must('up', 'r0');
  await until('the copies are told apart', async () => {
    return (await first.peer('beta')).connectionState === 'StandAlone';
  });
  expect((await first.peer('beta')).reason).toMatch(/^unrelated data: .*create-md --force/);
});
