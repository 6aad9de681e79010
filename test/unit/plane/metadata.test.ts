// Creating and reading metadata without an engine, on files.

import { closeSync, openSync, readFileSync, statSync, writeSync } from 'node:fs';
import { JUST_CREATED_UUID } from '../../../src/model/states';
import { Bench, MIB, attachSpec, createSpec, refusal } from './fixture';

let bench: Bench;

beforeEach(() => {
  bench = new Bench();
});

afterEach(() => bench.close());

/** Overwrites bytes of both superblock slots, or all of them. */
function overwrite(path: string, offset: number, bytes: Buffer): void {
  const start = Math.floor(statSync(path).size / 4096) * 4096 - 8192;
  const file = openSync(path, 'r+');
  for (const slot of [0, 4096]) writeSync(file, bytes, 0, bytes.length, start + slot + offset);
  closeSync(file);
}

test('a file is described', async () => {
  const info = await bench.plane.inspectDisk(bench.disk('a', 3 * MIB));
  expect(info.kind).toBe('file');
  expect(info.sizeBytes).toBe(BigInt(3 * MIB));
  expect([512, 4096]).toContain(info.logicalBlockBytes);
  const missing = bench.path('missing');
  expect(await refusal(bench.plane.inspectDisk(missing))).toMatch(
    /^NotFound: cannot open .*missing/,
  );
  expect(await refusal(bench.plane.inspectDisk(bench.folder))).toMatch(/^NotAttached: .*neither/);
});

test('fresh metadata is Inconsistent, just created, and can be read', async () => {
  const disk = bench.disk('a');
  const created = await bench.plane.createMetadata(createSpec(disk));
  expect(created).toMatchObject({
    resource: 'r0',
    node: 'alpha',
    consistent: false,
    wasUpToDate: false,
    currentUuid: JUST_CREATED_UUID,
    generation: 0n,
    historyUuids: [],
    peers: [],
  });
  expect(created.sizeBytes).toBeLessThan(BigInt(64 * MIB));
  expect(await bench.plane.readMetadata(disk, 'internal')).toEqual(created);
});

test('external metadata leaves the whole disk to the device', async () => {
  const disk = bench.disk('a');
  const metaDisk = bench.disk('m', MIB);
  const created = await bench.plane.createMetadata(createSpec(disk, { metaDisk }));
  expect(created.sizeBytes).toBe(BigInt(64 * MIB));
  expect(await bench.plane.readMetadata(disk, metaDisk)).toEqual(created);
  expect(readFileSync(disk).every((byte) => byte === 0)).toBe(true);
});

test('metadata that is there is overwritten only when forced', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const other = createSpec(disk, { node: createSpec(disk).node, maxPeers: 1 });
  expect(await refusal(bench.plane.createMetadata(other))).toMatch(
    /^DeviceInUse: .* already holds metadata of resource r0 on node alpha: use --force/,
  );
  const created = await bench.plane.createMetadata({ ...other, force: true });
  expect(await bench.plane.readMetadata(disk, 'internal')).toEqual(created);
});

test('a disk that is attached is refused, and says by whom', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const device = await bench.attach(attachSpec(disk), () => undefined);
  const again = bench.plane.createMetadata(createSpec(disk, { force: true }));
  expect(await refusal(again)).toMatch(
    new RegExp(`^DeviceInUse: .*/a is in use: .*pid ${process.pid}`),
  );
  const read = await bench.plane.readMetadata(disk, 'internal');
  expect(read.generation).toBe(device.metadata().generation);
});

test('no metadata, damaged metadata and an unknown version are told apart', async () => {
  const disk = bench.disk('a');
  const read = (): Promise<string> => refusal(bench.plane.readMetadata(disk, 'internal'));
  expect(await read()).toMatch(/^NotAttached: no blkmirror metadata on .*create-md/);
  await bench.plane.createMetadata(createSpec(disk));
  overwrite(disk, 8, Buffer.from([0, 0, 0, 99]));
  expect(await read()).toMatch(/^NotAttached: the metadata on .* is of a version/);
  expect(await refusal(bench.plane.createMetadata(createSpec(disk)))).toMatch(/^DeviceInUse: /);
  await bench.plane.createMetadata(createSpec(disk, { force: true }));
  overwrite(disk, 200, Buffer.from('x'));
  expect(await read()).toMatch(/^NotAttached: the metadata on .* is damaged/);
  expect(await refusal(bench.plane.createMetadata(createSpec(disk)))).toMatch(
    /^DeviceInUse: .*damaged/,
  );
});

test('one damaged slot does no harm', async () => {
  const disk = bench.disk('a');
  const created = await bench.plane.createMetadata(createSpec(disk));
  const file = openSync(disk, 'r+');
  writeSync(file, Buffer.alloc(4096, 0xff), 0, 4096, 64 * MIB - 8192);
  closeSync(file);
  expect(await bench.plane.readMetadata(disk, 'internal')).toEqual(created);
});

test('disks that are too small say so', async () => {
  const tiny = bench.disk('tiny', 4096);
  expect(await refusal(bench.plane.createMetadata(createSpec(tiny)))).toMatch(
    /^NotAttached: .*tiny with 4096 bytes.*too small/,
  );
  const disk = bench.disk('a');
  const metaDisk = bench.disk('m', 8192);
  expect(await refusal(bench.plane.createMetadata(createSpec(disk, { metaDisk })))).toMatch(
    /^NotAttached: .*m with 8192 bytes is too small .* it needs \d+ bytes/,
  );
});

test('disk and meta-disk must differ', async () => {
  const disk = bench.disk('a');
  expect(await refusal(bench.plane.createMetadata(createSpec(disk, { metaDisk: disk })))).toMatch(
    /^NotAttached: disk and meta-disk are both/,
  );
});

test('metadata for 16 TiB is written quickly', async () => {
  const disk = bench.disk('huge', 0);
  const metaDisk = bench.disk('m', 8 * 1024 * MIB);
  try {
    bench.disk('huge', 15 * 1024 * 1024 * MIB);
  } catch {
    return; // not on this file system
  }
  const begin = Date.now();
  await bench.plane.createMetadata(createSpec(disk, { metaDisk }));
  expect(Date.now() - begin).toBeLessThan(10_000);
});

test('wrong arguments are refused before anything is touched', async () => {
  const disk = bench.disk('a');
  const bad = [
    createSpec(disk, { maxPeers: 0 }),
    createSpec(disk, { maxPeers: 32 }),
    createSpec(''),
    createSpec(disk, { node: 'n'.repeat(64) as never }),
  ];
  for (const spec of bad) {
    expect(await refusal(bench.plane.createMetadata(spec))).toMatch(/^InvalidArgs: /);
  }
});
