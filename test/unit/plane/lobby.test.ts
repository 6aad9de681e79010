// Connections before they are links: listening, dialling, refusing.

import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import type { IncomingConnection } from '../../../src/plane/plane';
import { Bench, Recorder, refusal } from './fixture';

let bench: Bench;
let incoming: Recorder<IncomingConnection>;

beforeEach(() => {
  bench = new Bench();
  incoming = new Recorder();
});

afterEach(() => bench.close());

function dialSpec(port: number, hello = '{"hello":1}') {
  const buffers = { sndbufBytes: 0, rcvbufBytes: 0 };
  return { host: '127.0.0.1', port, timeoutMs: 5000, hello, ...buffers };
}

async function listen(): Promise<number> {
  const listener = await bench.plane.listen('127.0.0.1', 0, incoming.record);
  return Number(listener.address.split(':')[1]);
}

test('a dialled connection arrives with its hello', async () => {
  const port = await listen();
  const hello = JSON.stringify({ name: 'grüße', filler: 'x'.repeat(60_000) });
  const socket = await bench.plane.dial(dialSpec(port, hello));
  expect(socket.remoteAddress).toBe(`127.0.0.1:${port}`);
  const arrived = await incoming.find(() => true);
  expect(arrived.hello).toBe(hello);
  expect(arrived.socket.remoteAddress).toMatch(/^127\.0\.0\.1:\d+$/);
  bench.plane.setSocketOptions(arrived.socket, { sndbufBytes: 65536, rcvbufBytes: 0 });
  arrived.socket.close();
  arrived.socket.close();
  socket.close();
});

test('a taken address is refused', async () => {
  const port = await listen();
  const again = bench.plane.listen('127.0.0.1', port, incoming.record);
  expect(await refusal(again)).toMatch(/^DeviceInUse: cannot listen on 127\.0\.0\.1:/);
  const name = bench.plane.listen('alpha.example', 7788, incoming.record);
  expect(await refusal(name)).toMatch(/^InvalidArgs: "alpha\.example" is not a numeric/);
});

test('nobody there, and nobody answering', async () => {
  const listener = await bench.plane.listen('127.0.0.1', 0, incoming.record);
  const port = Number(listener.address.split(':')[1]);
  listener.close();
  listener.close();
  expect(await refusal(bench.plane.dial(dialSpec(port)))).toMatch(
    /^NotConnected: cannot connect to 127\.0\.0\.1:\d+: Connection refused/,
  );
});

test('a refusal is read by the other side', async () => {
  const port = await listen();
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const received = new Recorder<Buffer>();
  server.on('connection', (socket) => socket.on('data', received.record));
  const { port: plain } = server.address() as AddressInfo;
  await bench.plane.dial(dialSpec(plain, '{"to":"a plain server"}'));
  const frame = await received.find(() => true);
  expect(frame.subarray(0, 2).toString('hex')).toBe('b1c5');
  expect(frame.subarray(32).toString()).toBe('{"to":"a plain server"}');
  server.close();

  const client = connect(port, '127.0.0.1');
  const answers = new Recorder<Buffer>();
  client.on('data', answers.record);
  client.write(frame);
  const arrived = await incoming.find(() => true);
  bench.plane.refuse(arrived.socket, '{"no":"thanks"}');
  const answer = await answers.find(() => true);
  expect(answer.subarray(32).toString()).toBe('{"no":"thanks"}');
  await new Promise((resolve) => client.on('end', resolve));
  client.destroy();
});

test('closing the plane ends what waits', async () => {
  const full = createServer();
  await new Promise<void>((resolve) => full.listen(0, '127.0.0.1', 1, resolve));
  await listen();
  bench.plane.close();
  const late = bench.plane.listen('127.0.0.1', 0, incoming.record);
  expect(await refusal(late)).toMatch(/^Failed: the data plane is closed/);
  full.close();
});

test('wrong arguments are refused', async () => {
  const long = dialSpec(1, 'x'.repeat(65_537));
  expect(await refusal(bench.plane.dial(long))).toMatch(/^InvalidArgs: a control frame/);
  expect(await refusal(bench.plane.dial(dialSpec(0)))).toMatch(/^InvalidArgs: the port/);
});
