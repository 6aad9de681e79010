// sndbuf-bytes, rcvbuf-bytes, al-extents and timeout-ms each have an effect that one can see.

import { NbdClient } from '../support/nbdClient';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';
import { runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

const EXTENT_BYTES = 4 * MIB;
const SEND_BYTES = 77_824;
const RECEIVE_BYTES = 99_328;
let cluster: Cluster;

afterEach(() => cluster.remove());

/** Send and receive buffers of the daemon's replication connection, as ss shows them. */
async function buffersOf(node: SystemNode): Promise<{ send: number; receive: number }> {
  const shown = await runOk('ss', ['-tnmpOH', 'state', 'established']);
  const line = shown.split('\n').find((one) => one.includes(`pid=${node.pid},`));
  const receive = /\brb(\d+)/.exec(line ?? '');
  const send = /\btb(\d+)/.exec(line ?? '');
  if (receive === null || send === null) throw new Error(`ss shows no connection: ${shown}`);
  return { send: Number(send[1]), receive: Number(receive[1]) };
}

test('sndbuf-bytes and rcvbuf-bytes set the buffers of both ends', async () => {
  const options = `[net]\nsndbuf-bytes = ${SEND_BYTES}\nrcvbuf-bytes = ${RECEIVE_BYTES}\n`;
  cluster = await Cluster.inSync({ options, tmpfs: true });
  for (const node of cluster.nodes) {
    // The kernel doubles what it is asked for.
    expect(await buffersOf(node)).toEqual({ send: 2 * SEND_BYTES, receive: 2 * RECEIVE_BYTES });
  }
});

test('without them the kernel tunes the buffers itself', async () => {
  cluster = await Cluster.inSync({ tmpfs: true });
  const { send, receive } = await buffersOf(cluster.first);
  expect(send).not.toBe(2 * SEND_BYTES);
  expect(receive).not.toBe(2 * RECEIVE_BYTES);
});

test('timeout-ms decides when a silent peer is given up', async () => {
  for (const timeoutMs of [1000, 4000]) {
    const options = `[net]\ntimeout-ms = ${timeoutMs}\n`;
    cluster = await Cluster.inSync({ options, tmpfs: true });
    const client = await NbdClient.open(cluster.first.socket());
    await client.write(0, Buffer.alloc(4096, 1));
    await cluster.second.pause();
    const silentAt = performance.now();
    await client.write(0, Buffer.alloc(4096, 2));
    const waited = performance.now() - silentAt;
    // Not before half of it, and not much after it.
    expect(waited).toBeGreaterThan(timeoutMs / 2 - 100);
    expect(waited).toBeLessThan(timeoutMs + 3000);
    cluster.second.resume();
    await client.close();
    await cluster.remove();
  }
});

/**
 * What is out of sync after a crash of the Secondary that missed nothing: its hot extents. With
 * no limit that is every extent written since it was attached.
 */
async function outOfSyncAfterCrash(alExtents: number): Promise<number> {
  const options = `[disk]\nal-extents = ${alExtents}\n`;
  cluster = await Cluster.inSync({ options, tmpfs: true, diskBytes: 64 * MIB });
  const { first, second } = cluster;
  await second.must('down', 'r0');
  await second.must('up', 'r0');
  await cluster.untilInSync();
  const client = await NbdClient.open(first.socket());
  for (let extent = 0; extent < 15; extent++) {
    await client.write(extent * EXTENT_BYTES, Buffer.alloc(4096, 1));
  }
  // Cooling is lazy: it has the time of this to happen in, and only extent 0 stays in use.
  const end = performance.now() + 3000;
  while (performance.now() < end) await client.write(0, Buffer.alloc(4096, 2));
  await client.close();
  await second.kill9();
  await first.down('r0');
  await second.start();
  const { outOfSyncBytes } = await second.peer('alpha');
  await cluster.remove();
  return outOfSyncBytes ?? -1;
}

test('al-extents bounds what a crash leaves out of sync', async () => {
  const unlimited = await outOfSyncAfterCrash(0);
  expect(unlimited).toBe(15 * EXTENT_BYTES);
  const limited = await outOfSyncAfterCrash(4);
  expect(limited).toBeGreaterThan(0);
  expect(limited).toBeLessThanOrEqual(8 * EXTENT_BYTES);
});
