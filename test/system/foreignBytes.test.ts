// Bytes that no peer and no client of ours would send, on both ports: that connection ends, and
// the mirror goes on.

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { encodeRequest, FLUSH, NbdClient, NbdError, openSocket } from '../support/nbdClient';
import { READ, TRIM, WRITE, WRITE_ZEROES } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import { CONTROL, DATA, frame } from '../support/wireFrames';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.inSync({ tmpfs: true, forwarded: true });
});

afterAll(() => cluster.remove());

/** The mirror works as before. */
afterEach(async () => {
  const data = randomBytes(MIB);
  const client = await NbdClient.open(cluster.first.socket());
  await client.write(4096, data);
  expect((await client.read(4096, MIB)).equals(data)).toBe(true);
  await client.close();
  await cluster.untilInSync();
  await cluster.expectIdentical();
  expect(cluster.nodes.map((node) => node.isRunning)).toEqual([true, true]);
});

/** Sends them to the replication port of a node and waits until it hangs up. */
async function sendToPort(port: number, bytes: Buffer, hangUp = false): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  await sendAndWait(socket, bytes, hangUp);
}

async function sendAndWait(socket: Socket, bytes: Buffer, hangUp: boolean): Promise<void> {
  socket.on('error', () => undefined).resume();
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.write(bytes);
  if (hangUp) socket.end();
  await closed;
}

const hello = Buffer.from('{"type":"hello","resource":"r0"}');

test.each<[string, Buffer]>([
  ['random bytes', randomBytes(64 * 1024)],
  ['the request of a browser', Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')],
  ['a frame with a wrong checksum', Buffer.concat([frame(CONTROL, hello).fill(0, 28, 32)])],
  ['a frame of an unknown type', frame(99, Buffer.alloc(0))],
  ['a data frame before any hello', frame(DATA, Buffer.alloc(4096))],
  ['a control frame that is no JSON', frame(CONTROL, Buffer.from('{"type":'))],
  ['a control frame that is no hello', frame(CONTROL, Buffer.from('[1,2,3]'))],
  ['a hello with nothing in it', frame(CONTROL, hello)],
  ['a hello with random bytes in it', frame(CONTROL, randomBytes(512))],
  ['a control frame of 4 GiB', frame(CONTROL, Buffer.alloc(64), 0xffffffff)],
])('on the replication port: %s', async (_what, bytes) => {
  for (const node of cluster.nodes) await sendToPort(cluster.port(node), bytes);
});

test.each<[string, Buffer]>([
  ['nothing at all', Buffer.alloc(0)],
  ['half a header', frame(CONTROL, hello).subarray(0, 16)],
  ['half a hello', frame(CONTROL, hello).subarray(0, 40)],
])('on the replication port, then gone: %s', async (_what, bytes) => {
  for (const node of cluster.nodes) await sendToPort(cluster.port(node), bytes, true);
});

test.each<[string, Buffer]>([
  ['garbage', randomBytes(32)],
  ['a frame larger than any', frame(DATA, Buffer.alloc(64), 0xffffffff)],
  ['a control frame larger than any', frame(CONTROL, Buffer.alloc(64), 64 * 1024 + 1)],
  ['a truncated frame, and the next', frame(DATA, Buffer.alloc(4096)).subarray(0, 2048)],
])('in the middle of a connection between two nodes: %s', async (_what, bytes) => {
  const before = cluster.nodes.map((node) => node.log().length);
  for (const link of cluster.allLinks) link.inject(bytes);
  // What is truncated takes the place of what follows: a frame that makes no sense, or silence.
  const client = await NbdClient.open(cluster.first.socket());
  await client.write(0, randomBytes(64 * 1024));
  await client.close();
  await until('the connection is dropped', () => {
    const logs = cluster.nodes.map((node, index) => node.log().slice(before[index]));
    return logs.some((log) => /protocol error|timeout/i.test(log));
  });
});

test('random bytes on the NBD socket, before and after the negotiation', async () => {
  const path = cluster.first.socket();
  await sendAndWait(await openSocket(path), randomBytes(64 * 1024), true);
  const client = await NbdClient.open(path);
  const other = await NbdClient.open(path);
  await sendAndWait(client.socket, randomBytes(28 * 100), false);
  await other.write(0, Buffer.alloc(4096, 3));
  await other.close();
});

test('NBD requests out of bounds are answered with an error', async () => {
  const { sizeBytes } = await cluster.first.status();
  const end = sizeBytes ?? 0;
  const client = await NbdClient.open(cluster.first.socket());
  const wrong: [number, number, number][] = [
    [READ, end, 4096],
    [READ, end - 512, 4096],
    [TRIM, end, 4096],
    [WRITE_ZEROES, end - 512, 4096],
    [READ, 2 ** 52, 4096],
    [17, 0, 0],
  ];
  for (const [command, offset, length] of wrong) {
    await expect(client.request(command, 0, offset, length)).rejects.toBeInstanceOf(NbdError);
  }
  const beyond = client.request(WRITE, 0, end, 4096, Buffer.alloc(4096));
  await expect(beyond).rejects.toBeInstanceOf(NbdError);
  await client.request(FLUSH, 0, 0, 0);
  await client.close();
});

test('an NBD client that disappears in the middle of a request', async () => {
  const path = cluster.first.socket();
  for (const sent of [0, 100, 65_536]) {
    const client = await NbdClient.open(path);
    client.socket.write(encodeRequest(WRITE, 0, 1n, 8 * MIB, MIB));
    await new Promise((resolve) => client.socket.write(Buffer.alloc(sent, 1), resolve));
    client.vanish();
  }
  // With answers on their way as well.
  const client = await NbdClient.open(path);
  for (let i = 0; i < 50; i++) {
    void client.read(0, 4 * MIB).catch(() => undefined);
    void client.write(i * 65_536, Buffer.alloc(65_536, i)).catch(() => undefined);
  }
  await client.flush().catch(() => undefined);
  client.vanish();
});
