// The Secondary goes away, loudly or silently: writing goes on, and what it missed is copied
// when it is back. The bounds here are ten times what is promised and more: they find a wait
// that is not meant to be there, they do not measure.

import { AckedWriter } from '../support/ackedWriter';
import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster } from '../support/systemCluster';

jest.setTimeout(120_000);

let cluster: Cluster;

afterEach(() => cluster.remove());

async function writing(): Promise<{ writer: AckedWriter; client: NbdClient }> {
  const client = await NbdClient.open(cluster.first.socket());
  const writer = new AckedWriter({ blocks: 1000, depth: 16 });
  writer.start(client);
  await until('something is acknowledged', () => writer.acknowledged > 500);
  return { writer, client };
}

async function goesOn(writer: AckedWriter): Promise<void> {
  const now = writer.acknowledged;
  await until('writing goes on', () => writer.acknowledged > now + 500, 30_000);
}

test('writing goes on at once when the Secondary is killed, and it is brought back', async () => {
  cluster = await Cluster.inSync();
  const { writer, client } = await writing();
  const killedAt = performance.now();
  await cluster.second.kill9();
  await goesOn(writer);
  expect(writer.longestPauseMs(killedAt)).toBeLessThan(1000);
  const peer = await cluster.first.peer('beta');
  expect(peer.connectionState).not.toBe('Connected');
  expect(peer.outOfSyncBytes).toBeGreaterThan(0);
  await cluster.second.start();
  await cluster.untilInSync();
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});

test('writing goes on within timeout-ms when the network is a black hole', async () => {
  const options = '[net]\ntimeout-ms = 1500\n';
  cluster = await Cluster.inSync({ forwarded: true, options });
  const { writer, client } = await writing();
  const cutAt = performance.now();
  for (const link of cluster.allLinks) link.cut();
  await until('the writer waits for the peer', () => performance.now() - writer.lastMs > 300);
  await goesOn(writer);
  expect(writer.longestPauseMs(cutAt)).toBeLessThan(1500 + 3000);
  await cluster.untilApart();
  for (const link of cluster.allLinks) {
    link.reset();
    link.heal();
  }
  await cluster.untilInSync();
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});

test('a Secondary that stands still is given up after timeout-ms and comes back', async () => {
  cluster = await Cluster.inSync({ options: '[net]\ntimeout-ms = 1500\n' });
  const { writer, client } = await writing();
  const stoppedAt = performance.now();
  await cluster.second.pause();
  await until('the writer waits for the peer', () => performance.now() - writer.lastMs > 300);
  await goesOn(writer);
  expect(writer.longestPauseMs(stoppedAt)).toBeLessThan(1500 + 3000);
  cluster.second.resume();
  await cluster.untilInSync();
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});

test('a network that is gone for less than timeout-ms is only a pause', async () => {
  cluster = await Cluster.inSync({ forwarded: true });
  const { writer, client } = await writing();
  for (const link of cluster.allLinks) link.cut();
  await until('the writer waits for the peer', () => performance.now() - writer.lastMs > 300);
  for (const link of cluster.allLinks) link.heal();
  await goesOn(writer);
  expect((await cluster.first.peer('beta')).replicationState).toBe('Established');
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});

test('a network that resets connections again and again loses nothing', async () => {
  cluster = await Cluster.inSync({ forwarded: true });
  const { writer, client } = await writing();
  for (let round = 0; round < 5; round++) {
    for (const link of cluster.allLinks) link.reset();
    await goesOn(writer);
    await cluster.untilInSync();
  }
  await writer.stop();
  await writer.check(client);
  await client.close();
  await cluster.expectIdentical();
});
