// Two copies in one process, linked through the lobby: resync, replicated writes, lost links.

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import type { EstablishPlan } from '../../../src/plane/establishPlan';
import type { DeviceEvent, DevicePlane, IncomingConnection } from '../../../src/plane/plane';
import { ALPHA, BETA, Bench, MIB, Recorder, attachSpec, createSpec, refusal } from './fixture';

const run = promisify(execFile);
const NEW_UUID = 0x1111_2222_3333_4444n;
const SIZE = 32 * MIB;

interface Side {
  readonly disk: string;
  readonly device: DevicePlane;
  readonly events: Recorder<DeviceEvent>;
}

let bench: Bench;
let alpha: Side;
let beta: Side;
let incarnation = 0;

async function open(node: typeof ALPHA, peer: typeof ALPHA): Promise<Side> {
  const disk = bench.disk(node, SIZE);
  await bench.plane.createMetadata(createSpec(disk, { node }));
  const events = new Recorder<DeviceEvent>();
  const device = await bench.attach(attachSpec(disk, { node, peers: [peer] }), events.record);
  return { disk, device, events };
}

beforeEach(async () => {
  bench = new Bench();
  alpha = await open(ALPHA, BETA);
  beta = await open(BETA, ALPHA);
  const upToDate = { consistent: true, wasUpToDate: true, currentUuid: NEW_UUID };
  await alpha.device.updateMetadata({ ...upToDate, primaryIndicator: true });
  alpha.device.supplyUuids([5n, 6n, 7n]);
});

afterEach(() => bench.close());

/** Links both sides by a connection over loopback. */
async function link(): Promise<void> {
  incarnation += 1;
  const incoming = new Recorder<IncomingConnection>();
  const listener = await bench.plane.listen('127.0.0.1', 0, incoming.record);
  const socket = await bench.plane.dial({
    host: '127.0.0.1',
    port: Number(listener.address.split(':')[1]),
    timeoutMs: 5000,
    hello: '{}',
    sndbufBytes: 0,
    rcvbufBytes: 0,
  });
  const accepted = await incoming.find(() => true);
  listener.close();
  await Promise.all([
    alpha.device.connectLink(0, socket, incarnation),
    beta.device.connectLink(0, accepted.socket, incarnation),
  ]);
}

async function establish(resync: 'none' | 'source'): Promise<void> {
  const exchangeBitmaps = resync !== 'none';
  const plan = (side: EstablishPlan['resync'], peerCurrentUuid: bigint): EstablishPlan => ({
    resync: side,
    exchangeBitmaps,
    compare: false,
    peerDiskless: false,
    peerCurrentUuid,
    peerHistoryUuids: [],
    peerWriteSequence: 0n,
    peerCrashed: false,
    peerCrashedPrimary: false,
    peerCrashedMachine: false,
  });
  await Promise.all([
    alpha.device.establish(0, incarnation, plan(resync, beta.device.metadata().currentUuid)),
    beta.device.establish(
      0,
      incarnation,
      plan(resync === 'source' ? 'target' : 'none', alpha.device.metadata().currentUuid),
    ),
  ]);
}

async function resync(): Promise<void> {
  const wanted = incarnation;
  const finished = (event: DeviceEvent): boolean =>
    event.type === 'resyncFinished' && event.incarnation === wanted;
  await establish('source');
  await Promise.all([alpha.events.find(finished), beta.events.find(finished)]);
}

function content(side: Side): Buffer {
  const bytes = Number(side.device.metadata().sizeBytes);
  return readFileSync(side.disk).subarray(0, bytes);
}

async function copyIn(socketPath: string, data: Buffer): Promise<void> {
  const source = bench.path('source');
  writeFileSync(source, data);
  await run('nbdcopy', ['--flush', source, `nbd+unix:///?socket=${socketPath}`]);
}

test('a full resync, then replicated writes, give identical copies', async () => {
  await link();
  await resync();
  expect(beta.device.metadata()).toMatchObject({ consistent: true, currentUuid: NEW_UUID });
  const socketPath = bench.path('r0.sock');
  await alpha.device.serve({ socketPath, exportName: 'r0' });
  expect(statSync(socketPath).mode & 0o777).toBe(0o600);
  const data = randomBytes(8 * MIB);
  await copyIn(socketPath, data);
  await alpha.device.withdraw(false);
  expect(() => statSync(socketPath)).toThrow();
  expect(content(alpha).subarray(0, data.length).equals(data)).toBe(true);
  expect(content(beta).equals(content(alpha))).toBe(true);
  const statistics = alpha.device.statistics();
  expect(statistics.peers[0]).toMatchObject({ receiving: true, outOfSyncBytes: 0n });
  expect(statistics.writtenBytes).toBeGreaterThanOrEqual(BigInt(data.length));
}, 60_000);

test('writes that miss a lost peer are resynced by bitmap', async () => {
  await link();
  await resync();
  const socketPath = bench.path('r0.sock');
  await alpha.device.serve({ socketPath, exportName: 'r0' });
  alpha.device.closeLink(0, incarnation);
  await beta.events.find((event) => event.type === 'linkClosed');
  await copyIn(socketPath, randomBytes(4 * MIB));
  const missed = alpha.device.statistics().peers[0]?.outOfSyncBytes ?? 0n;
  expect(missed).toBeGreaterThanOrEqual(BigInt(4 * MIB));
  expect(missed).toBeLessThan(BigInt(16 * MIB));
  const { currentUuid, historyUuids } = alpha.device.metadata();
  expect([5n, 6n, 7n]).toContain(currentUuid);
  expect(historyUuids).toEqual([NEW_UUID]);
  await link();
  await resync();
  await alpha.device.withdraw(false);
  expect(beta.device.metadata().currentUuid).toBe(currentUuid);
  expect(content(beta).equals(content(alpha))).toBe(true);
}, 60_000);

test('control frames pass in order, and closing a link is told on both sides', async () => {
  await link();
  for (let number = 0; number < 50; number++) {
    alpha.device.sendControl(0, incarnation, JSON.stringify({ number, filler: 'x'.repeat(1000) }));
  }
  await beta.events.find((event) => event.type === 'control' && event.text.includes('"number":49'));
  const numbers = beta.events.seen.flatMap((event) =>
    event.type === 'control' ? [(JSON.parse(event.text) as { number: number }).number] : [],
  );
  expect(numbers).toEqual([...numbers.keys()]);
  alpha.device.closeLink(0, incarnation - 1);
  alpha.device.closeLink(0, incarnation);
  const closed = (event: DeviceEvent): boolean =>
    event.type === 'linkClosed' && event.incarnation === incarnation;
  await Promise.all([alpha.events.find(closed), beta.events.find(closed)]);
  const late = alpha.device.establish(0, incarnation, {
    resync: 'none',
    exchangeBitmaps: false,
    compare: false,
    peerDiskless: false,
    peerCurrentUuid: NEW_UUID,
    peerHistoryUuids: [],
    peerWriteSequence: 0n,
    peerCrashed: false,
    peerCrashedPrimary: false,
    peerCrashedMachine: false,
  });
  expect(await refusal(late)).toMatch(/^NotConnected: /);
});

/** The bytes of a control frame, as a dialled server receives them. */
async function wireFrame(text: string): Promise<Buffer> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const frame = new Promise<Buffer>((resolve) => {
    const parts: Buffer[] = [];
    server.on('connection', (socket) => {
      socket.on('data', (part) => parts.push(part));
      socket.on('end', () => resolve(Buffer.concat(parts)));
    });
  });
  const dialled = { host: '127.0.0.1', port, timeoutMs: 5000, sndbufBytes: 0, rcvbufBytes: 0 };
  (await bench.plane.dial({ ...dialled, hello: text })).close();
  const bytes = await frame;
  server.close();
  return bytes;
}

test('a flood of control frames to a sleeping JavaScript closes the link only', async () => {
  const frame = await wireFrame(JSON.stringify({ filler: 'x'.repeat(1000) }));
  const incoming = new Recorder<IncomingConnection>();
  const listener = await bench.plane.listen('127.0.0.1', 0, incoming.record);
  const client = connect(Number(listener.address.split(':')[1]), '127.0.0.1');
  client.on('error', () => undefined);
  client.write(frame);
  const { socket } = await incoming.find(() => true);
  incarnation += 1;
  await beta.device.connectLink(0, socket, incarnation);
  // 2,000 frames, which the kernel takes at once; the ring has room for a few hundred.
  client.write(Buffer.concat(Array<Buffer>(2000).fill(frame)));
  const until = Date.now() + 1000;
  while (Date.now() < until); // JavaScript is blocked, the data plane is not
  const closed = await beta.events.find((event) => event.type === 'linkClosed');
  expect(closed).toMatchObject({ slot: 0, incarnation });
  expect(closed.type === 'linkClosed' && closed.detail).toMatch(/faster than they were handled/);
  client.destroy();
  await link();
  await resync();
}, 60_000);

test('a demotion with clients is refused, naming them', async () => {
  const socketPath = bench.path('r0.sock');
  await alpha.device.serve({ socketPath, exportName: 'r0' });
  const uri = `nbd+unix:///?socket=${socketPath}`;
  const client = execFile('qemu-io', ['-f', 'raw', '-c', 'sleep 60000', uri]);
  try {
    await alpha.events.find((event) => event.type === 'clientsChanged' && event.count === 1);
    expect(await refusal(alpha.device.withdraw(false))).toMatch(
      /^DeviceInUse: r0 is in use by .*\(pid \d+\): end that first/,
    );
    expect(statSync(socketPath).isSocket()).toBe(true);
    await alpha.device.withdraw(true);
    expect(() => statSync(socketPath)).toThrow();
  } finally {
    client.kill('SIGKILL');
  }
}, 30_000);
