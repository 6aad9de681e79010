// Attaching and closing copies: claims, metadata that does not fit, updates, what comes after.

import { closeSync, openSync, truncateSync, writeSync } from 'node:fs';
import { ALPHA, Bench, MIB, attachSpec, createSpec, refusal } from './fixture';

let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});

afterEach(() => bench.close());

const ignore = (): void => undefined;

test('each attach raises the generation; closing twice is fine', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  for (const generation of [1n, 2n]) {
    const device = await bench.attach(attachSpec(disk), ignore);
    expect(device.metadata().generation).toBe(generation);
    expect(device.metadata().crashed).toBe(false);
    expect(device.metadata().peers.map((peer) => [peer.slot, peer.name])).toEqual([[0, 'beta']]);
    await device.close();
    await device.close();
  }
});

test('a second attach is refused until the first has closed', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const first = await bench.attach(attachSpec(disk), ignore);
  const atOnce = attachSpec(disk, { claimTimeoutMs: 0 });
  expect(await refusal(bench.attach(atOnce, ignore))).toMatch(/^DeviceInUse: .*in use/);
  const second = bench.attach(attachSpec(disk, { claimTimeoutMs: 20_000 }), ignore);
  await first.close();
  expect((await second).metadata().generation).toBe(2n);
});

test('what cannot be attached says why', async () => {
  const disk = bench.disk('a');
  const attach = (change = {}): Promise<string> =>
    refusal(bench.attach(attachSpec(disk, change), ignore));
  expect(await attach()).toMatch(/^NotAttached: no blkmirror metadata on .*create-md r0/);
  await bench.plane.createMetadata(createSpec(disk));
  expect(await attach({ resource: 'other' })).toMatch(/^NotAttached: .*of resource r0 on node/);
  expect(await attach({ node: 'gamma' })).toMatch(/^NotAttached: .*not of r0 on gamma/);
  expect(await attach({ disk: bench.path('missing') })).toMatch(/^NotAttached: cannot open/);
  expect(await attach({ peers: [ALPHA], timeoutMs: 0 })).toMatch(/^InvalidArgs: timeout-ms/);
  const file = openSync(disk, 'r+');
  writeSync(file, Buffer.alloc(8192, 0x42), 0, 8192, 64 * MIB - 8192);
  closeSync(file);
  expect(await attach()).toMatch(/^NotAttached: /);
});

test('a disk that grew is found by where its metadata was last seen', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const before = await bench.attach(attachSpec(disk), ignore);
  const { sizeBytes, superblockOffset } = before.metadata();
  await before.close();
  truncateSync(disk, 96 * MIB);
  expect(await refusal(bench.attach(attachSpec(disk), ignore))).toMatch(/^NotAttached: /);
  const change = { lastSuperblockOffset: superblockOffset };
  const after = await bench.attach(attachSpec(disk, change), ignore);
  expect(after.metadata()).toMatchObject({ sizeBytes, superblockOffset });
  await after.close();
});

test('after a failed attach the disk is free again', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  await refusal(bench.attach(attachSpec(disk, { node: 'gamma' as never }), ignore));
  const device = await bench.attach(attachSpec(disk), ignore);
  expect(device.metadata().node).toBe('alpha');
});

test('metadata updates are durable when they resolve', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const device = await bench.attach(attachSpec(disk), ignore);
  const updated = await device.updateMetadata({
    consistent: true,
    wasUpToDate: true,
    currentUuid: 0xfedc_ba98_7654_3210n,
    peers: [{ slot: 0, bitmapUuid: 7n, outdated: true }],
  });
  expect(updated).toMatchObject({ consistent: true, currentUuid: 0xfedc_ba98_7654_3210n });
  expect(updated.peers[0]).toMatchObject({ bitmapUuid: 7n, outdated: true });
  const read = await bench.plane.readMetadata(disk, 'internal');
  expect(read.currentUuid).toBe(0xfedc_ba98_7654_3210n);
  const stale = device.updateMetadata({ ifCurrentUuid: 1n, outdated: true });
  expect(await refusal(stale)).toMatch(/^InTransition: /);
  expect(device.metadata().outdated).toBe(false);
  await device.close();
  const again = await bench.attach(attachSpec(disk), ignore);
  expect(again.metadata().peers[0]?.bitmapUuid).toBe(7n);
});

test('external metadata attaches', async () => {
  const disk = bench.disk('a');
  const metaDisk = bench.disk('m', MIB);
  await bench.plane.createMetadata(createSpec(disk, { metaDisk }));
  const device = await bench.attach(attachSpec(disk, { metaDisk }), ignore);
  expect(device.metadata().sizeBytes).toBe(BigInt(64 * MIB));
  expect(device.statistics().peers[0]?.outOfSyncBytes).toBe(BigInt(64 * MIB));
});

test('the data plane gives signs of life by itself', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const device = await bench.attach(attachSpec(disk), ignore);
  const before = device.statistics().heartbeat;
  const deadline = Date.now() + 10_000;
  while (device.statistics().heartbeat < before + 2n && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(device.statistics().heartbeat).toBeGreaterThanOrEqual(before + 2n);
});

test('commands after the close are refused, events are ignored', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const device = await bench.attach(attachSpec(disk), ignore);
  const closed = device.close();
  expect(await refusal(device.updateMetadata({ outdated: true }))).toMatch(/^InTransition: /);
  await closed;
  device.closeLink(0, 1);
  device.sendControl(0, 1, '{}');
  device.setOptions({ alExtents: 5 });
  device.supplyUuids([5n]);
  expect(await refusal(device.withdraw(true))).toMatch(/^InTransition: /);
});

test('serving needs a path that is free', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const device = await bench.attach(attachSpec(disk), ignore);
  const long = device.serve({ socketPath: `/tmp/${'x'.repeat(120)}`, exportName: 'r0' });
  expect(await refusal(long)).toMatch(/^Failed: .*107/);
  const file = device.serve({ socketPath: disk, exportName: 'r0' });
  expect(await refusal(file)).toMatch(/^DeviceInUse: .*is no socket/);
});
