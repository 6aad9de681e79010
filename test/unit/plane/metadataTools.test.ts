// Dumping, restoring and repairing metadata through the real addon, on files.

import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { openMetadataTools, openNativePlane } from '../../../src/plane/nativePlane';
import type { MetadataDump, MetadataTools, RepairReport } from '../../../src/plane/metadataTools';
import type { NodeName, ResourceName } from '../../../src/model/states';
import { dumpLines } from '../../../src/offline/dumpText';
import { parseDump } from '../../../src/offline/dumpParse';
import { Bench, MIB, attachSpec, createSpec, refusal } from './fixture';

jest.setTimeout(30_000);

const R0 = 'r0' as ResourceName;
const PAGE = 4096;
let bench: Bench;
let tools: MetadataTools;

beforeEach(() => {
  bench = new Bench();
  tools = openMetadataTools();
});

afterEach(() => bench.close());

function overwrite(path: string, offset: number, bytes: Buffer): void {
  const file = openSync(path, 'r+');
  writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
}

/** Metadata that has seen something: attached, a peer, a new generation, bits, a clean end. */
async function lived(disk: string): Promise<void> {
  await bench.plane.createMetadata(createSpec(disk));
  const device = await bench.attach(attachSpec(disk), () => undefined);
  await device.updateMetadata({
    currentUuid: 0x77n,
    addHistory: [0x55n, 0x66n],
    consistent: true,
    peers: [{ slot: 0, bitmapUuid: 0x99n, generation: 3n, fullSync: false }],
  });
  await device.close();
}

function dump(disk: string): Promise<MetadataDump> {
  return tools.dumpMetadata(R0, disk, 'internal', false);
}

function text(image: MetadataDump): string {
  return [...dumpLines(image)].join('\n');
}

function repair(disk: string, last = 0n, scan = false): Promise<RepairReport> {
  const node = 'alpha' as NodeName;
  const where = { resource: R0, node, disk, metaDisk: 'internal' };
  return tools.repairMetadata({ ...where, lastSuperblockOffset: last, scan });
}

/** Metadata alone, with sequence numbers of pages and the sums over them left out. */
function bytesOf(disk: string, { superblock }: MetadataDump): Buffer {
  const bytes = readFileSync(disk).subarray(Number(superblock.activityLogOffset));
  for (let at = 0; at + PAGE <= bytes.length - 2 * PAGE; at += PAGE) {
    bytes.fill(0, at + 4, at + 8);
    bytes.fill(0, at + 24, at + 32);
  }
  return bytes;
}

test("a dump restored gives the same bytes, but for the pages' sequence numbers", async () => {
  const disk = bench.disk('a');
  await lived(disk);
  const before = await dump(disk);
  const bytes = bytesOf(disk, before);
  const { image } = parseDump('dump', text(before));
  const spec = { resource: R0, disk, metaDisk: 'internal', force: true };
  const { revision } = before.superblock;
  expect(await refusal(tools.restoreMetadata({ ...spec, expectedRevision: 1n, image }))).toMatch(
    /^NotAttached: .*changed while the file was read/,
  );
  await tools.restoreMetadata({ ...spec, expectedRevision: revision, image });
  expect(bytesOf(disk, before).equals(bytes)).toBe(true);
  expect(text(await dump(disk))).toBe(text(before));
});

test('on a disk of another size the areas lie elsewhere, and all else is the same', async () => {
  const [small, large] = [bench.disk('a'), bench.disk('b', 80 * MIB)];
  await lived(small);
  const { image } = parseDump('dump', text(await dump(small)));
  const spec = { resource: R0, metaDisk: 'internal', force: false, expectedRevision: 0n, image };
  await tools.restoreMetadata({ ...spec, disk: large });
  const content = (lines: string): string[] =>
    lines.split('\n').filter((line) => !/-(offset|bytes) = /.test(line));
  expect(content(text(await dump(large)))).toEqual(content(text(await dump(small))));
  const tiny = bench.disk('c', 32 * MIB);
  expect(await refusal(tools.restoreMetadata({ ...spec, disk: tiny }))).toMatch(
    /^NotAttached: the copy has [0-9]+ bytes and does not fit/,
  );
  expect(readFileSync(tiny).every((byte) => byte === 0)).toBe(true);
});

test('a dump of what is attached is refused, or says so', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk));
  const device = await bench.attach(attachSpec(disk), () => undefined);
  expect(await refusal(dump(disk))).toMatch(/^DeviceInUse: .*pid/);
  expect((await tools.dumpMetadata(R0, disk, 'internal', true)).attached).toBe(true);
  expect(await refusal(repair(disk))).toMatch(/^DeviceInUse: /);
  await device.close();
});

test('one rotten superblock is written anew from the other', async () => {
  for (const slot of [0, 1]) {
    const disk = bench.disk(`d${slot}`);
    await lived(disk);
    const before = text(await dump(disk));
    overwrite(disk, 64 * MIB - (2 - slot) * PAGE + 200, Buffer.from('rot'));
    const report = await repair(disk);
    expect(report.repaired).toBe(true);
    expect(report.slots[slot]).toBe("the superblock's checksum is wrong");
    expect(report.slots[1 - slot]).toBe('');
    expect((await dump(disk)).damagedPages).toBe(0);
    expect(text(await dump(disk)).replace(/^revision.*$/m, '')).toBe(
      before.replace(/^revision.*$/m, ''),
    );
    expect(await repair(disk)).toMatchObject({ repaired: true, slots: ['', ''] });
  }
});

test('rotten pages become hot and out of sync', async () => {
  const disk = bench.disk('a');
  await lived(disk);
  const { superblock } = await dump(disk);
  for (const area of [superblock.activityLogOffset, superblock.bitmapStatesOffset]) {
    overwrite(disk, Number(area) + 1000, Buffer.from('rot'));
  }
  expect((await dump(disk)).damagedPages).toBe(2);
  expect(await repair(disk)).toMatchObject({ repaired: true, logPages: 1, bitmapPages: 1 });
  const after = await dump(disk);
  expect(after.damagedPages).toBe(0);
  expect(text(after)).toMatch(/hot = 0-15\n\[bitmap 0\]\nout-of-sync = 0-16[0-9]+\n/);
});

test('superblocks that do not belong together: that of the pages wins', async () => {
  const disk = bench.disk('a');
  await lived(disk);
  const foreign = readFileSync(disk).subarray(64 * MIB - PAGE);
  await bench.plane.createMetadata(createSpec(disk, { force: true }));
  const { metadataId } = (await dump(disk)).superblock;
  overwrite(disk, 64 * MIB - PAGE, foreign);
  expect(await refusal(dump(disk))).toMatch(/^NotAttached: .*belong together.*repair-md r0/);
  expect(await repair(disk)).toMatchObject({
    repaired: true,
    slots: ['', 'belongs to other metadata'],
  });
  expect((await dump(disk)).superblock.metadataId).toBe(metadataId);
});

test('both rotten: nothing is written, and other metadata found is told', async () => {
  const disk = bench.disk('a');
  await lived(disk);
  overwrite(disk, 64 * MIB - 2 * PAGE, Buffer.alloc(2 * PAGE, 0x5a));
  const before = readFileSync(disk);
  expect(await repair(disk)).toMatchObject({ repaired: false, strays: [] });
  expect(readFileSync(disk).equals(before)).toBe(true);
});

test.each<[string, bigint, boolean]>([
  ['where it was last seen', BigInt(64 * MIB - 2 * PAGE), false],
  ['near the end', 0n, false],
  ['anywhere', 0n, true],
])('a disk that grew: the superblock is found %s', async (_, last, scan) => {
  const disk = bench.disk('a');
  await lived(disk);
  const before = await dump(disk);
  truncateSync(disk, 72 * MIB);
  const report = await repair(disk, last, scan);
  expect(report).toMatchObject({ repaired: true, moved: true });
  expect(report.strays[0]?.offset).toBe(BigInt(64 * MIB - 2 * PAGE));
  const after = await dump(disk);
  expect(after.superblock.superblocksOffset).toBe(BigInt(72 * MIB - 2 * PAGE));
  expect(after.superblock.bitmapOffset).toBe(before.superblock.bitmapOffset);
  expect(after.slots).toEqual(before.slots);
  const device = await bench.attach(attachSpec(disk), () => undefined);
  expect(device.metadata().currentUuid).toBe(0x77n);
  await device.close();
});

test('metadata of something else is left alone', async () => {
  const disk = bench.disk('a');
  await bench.plane.createMetadata(createSpec(disk, { resource: 'other' as ResourceName }));
  const before = readFileSync(disk);
  expect(await refusal(repair(disk))).toMatch(/^NotAttached: .*of resource other .*left alone/);
  expect(readFileSync(disk).equals(before)).toBe(true);
});

test('damage found at attach is warned of, and repaired', async () => {
  const disk = bench.disk('a');
  await lived(disk);
  overwrite(disk, 64 * MIB - PAGE, Buffer.alloc(PAGE));
  const warnings: string[] = [];
  const plane = openNativePlane({ onWarning: (words) => warnings.push(words) });
  const device = await plane.attach(attachSpec(disk), () => undefined);
  await device.close();
  plane.close();
  expect(warnings.filter((words) => words.includes('damaged metadata'))).toHaveLength(1);
  expect((await dump(disk)).damagedPages).toBe(0);
});

test('a copy taken for equal has no bits towards its peers, others have all', async () => {
  const disk = bench.disk('a');
  overwrite(disk, 5 * MIB, Buffer.from('something'));
  const equals = ['beta' as NodeName];
  const spec = { ...createSpec(disk), upToDate: true, currentUuid: 0x1234n, equals };
  await bench.plane.createMetadata({ ...spec, zero: true });
  const { superblock, slots } = await dump(disk);
  expect(superblock.peers).toEqual([
    expect.objectContaining({ slot: 0, name: 'beta', bitmapUuid: 0n, generation: 0n, flags: 0n }),
  ]);
  expect(slots.map((slot) => slot.states[0])).toEqual([0, ...Array<number>(6).fill(2)]);
  expect(
    readFileSync(disk)
      .subarray(0, 60 * MIB)
      .every((byte) => byte === 0),
  ).toBe(true);
});
