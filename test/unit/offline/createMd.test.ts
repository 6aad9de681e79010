// create-md over a data plane in memory, on real files with real signatures.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMd } from '../../../src/offline/createMd';
import type { CreateMdRequest, CreateMdResult } from '../../../src/offline/createMd';
import { contentOf, findSignature } from '../../../src/offline/signatures';
import { MirrorError } from '../../../src/model/errors';
import { Folder } from '../config/folder';
import { FakePlane, metadataOf } from './fakePlane';

const LUKS = Buffer.concat([
  Buffer.from([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe, 0, 1]),
  Buffer.alloc(1024 * 1024),
]);

let folder: Folder;
let plane: FakePlane;

beforeEach(() => {
  folder = new Folder();
  plane = new FakePlane();
});

afterEach(() => folder.remove());

function configure(disk: string, metaDisk = 'internal'): void {
  const beta = '[node "beta"]\naddress = 192.0.2.2:7788\ndisk = /d\n';
  const gamma = '[node "gamma"]\naddress = 192.0.2.3:7788\ndisk = /d\n';
  folder.writeResource(
    'r0',
    `[node "alpha"]
address = 192.0.2.1:7788
disk = ${disk}
meta-disk = ${metaDisk}
${beta}${gamma}`,
  );
}

function emptyDisk(name = 'disk'): string {
  return folder.write(name, Buffer.alloc(1024 * 1024));
}

function create(changes: Partial<CreateMdRequest> = {}): Promise<CreateMdResult> {
  const request = { configDir: folder.path, resource: 'r0', nodeName: 'alpha', force: false };
  const usual = { ...request, maxPeers: undefined, initialData: 'nothing' as const };
  return createMd({ ...usual, ...changes }, plane.asPlane(), plane.asPlane());
}

async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
    return 'done';
  } catch (error) {
    const text = error instanceof MirrorError ? `${error.code}: ${error.message}` : String(error);
    return text.replaceAll(`${folder.path}/`, '');
  }
}

test('an empty disk gets metadata', async () => {
  const disk = emptyDisk();
  configure(disk);
  const result = await create({ nodeName: 'alpha.example.org' });
  expect(result).toMatchObject({ maxPeers: 7, node: { name: 'alpha', disk } });
  expect(plane.created).toEqual([
    { resource: 'r0', node: 'alpha', disk, metaDisk: 'internal', maxPeers: 7, force: false },
  ]);
});

test('max-peers is at least what is configured', async () => {
  configure(emptyDisk());
  expect((await create({ maxPeers: 2 })).maxPeers).toBe(2);
  expect(await refusal(create({ maxPeers: 1 }))).toBe(
    'InvalidArgs: --max-peers 1: resource r0 has 2 peers; give at least 2',
  );
  expect(await refusal(create({ maxPeers: 32 }))).toBe(
    'InvalidArgs: --max-peers 32: at most 31 are possible',
  );
});

test('no such resource, no such node', async () => {
  expect(await refusal(create())).toBe(
    'NotFound: resources.d/r0.conf: there is no resource r0: this file does not exist; write it',
  );
  configure(emptyDisk());
  expect(await refusal(create({ nodeName: 'delta' }))).toMatch(
    /^InvalidArgs: .*no \[node "delta"\]/,
  );
});

test('a disk that is not there, a directory, a device that is not there', async () => {
  configure(join(folder.path, 'none'));
  expect(await refusal(create())).toBe(
    'NotFound: disk none does not exist; to make a file to try with, run: truncate -s 1G none',
  );
  mkdirSync(join(folder.path, 'dir'));
  configure(join(folder.path, 'dir'));
  expect(await refusal(create())).toBe(
    'NotAttached: disk dir cannot be used: it is a directory; a disk is a block device or a ' +
      'regular file',
  );
  configure('/dev/no-such-device');
  expect(await refusal(create())).toBe(
    'NotFound: disk /dev/no-such-device does not exist; check the path, or make the device first',
  );
  configure('/dev/null');
  expect(await refusal(create())).toMatch(/^NotAttached: disk \/dev\/null cannot be used/);
});

test('a foreign signature on the disk', async () => {
  configure(folder.write('disk', LUKS));
  expect(await refusal(create())).toBe(
    'DeviceInUse: disk holds a crypto_LUKS encrypted volume, and metadata would overwrite a part ' +
      'of it; check the path, or add --force if that is what you want',
  );
  expect(plane.created).toEqual([]);
  await create({ force: true });
  expect(plane.created).toMatchObject([{ force: true }]);
});

test('a foreign signature on the meta-disk, and on the disk beside it', async () => {
  const meta = folder.write('meta', LUKS);
  configure(emptyDisk(), meta);
  expect(await refusal(create())).toMatch(/^DeviceInUse: meta holds a crypto_LUKS/);
  configure(folder.write('disk', LUKS), emptyDisk('meta'));
  expect(await refusal(create())).toMatch(/, and the resync may overwrite it;/);
});

test('metadata of our own, whatever else is on the disk', async () => {
  const disk = folder.write('disk', LUKS);
  configure(disk);
  plane.present.set(disk, metadataOf('r7', 'beta'));
  expect(await refusal(create())).toBe(
    'DeviceInUse: disk already holds metadata of resource r7 (node beta); to write it anew, ' +
      'after which everything is resynced, add --force',
  );
});

test('while attached, --force or not', async () => {
  configure(emptyDisk());
  plane.nextError = new MirrorError('DeviceInUse', 'the disk is attached');
  expect(await refusal(create())).toBe('DeviceInUse: the disk is attached');
  expect(await refusal(create({ force: true }))).toBe('DeviceInUse: the disk is attached');
});

test('signatures in words', async () => {
  expect(await findSignature(emptyDisk())).toBeUndefined();
  const table = Buffer.alloc(1024 * 1024);
  table.set([0x80, 0, 2, 0, 0x83, 0, 10, 0, 1, 0, 0, 0, 0, 1, 0, 0], 446);
  table.set([0x55, 0xaa], 510);
  expect(await findSignature(folder.write('table', table))).toBe('a partition table (dos)');
  expect(await findSignature(folder.write('--luks', LUKS))).toBe('a crypto_LUKS encrypted volume');
  const small = folder.path.length > 0 ? join(folder.path, 'tiny') : '';
  writeFileSync(small, 'x');
  expect(await findSignature(small)).toBeUndefined();
});

test('an empty partition has no signature, whatever blkid says of its place', () => {
  const place = 'DEVNAME=/dev/vdb1\nPART_ENTRY_SCHEME=gpt\nPART_ENTRY_NUMBER=1\n';
  expect(contentOf(place)).toBeUndefined();
  expect(contentOf(`${place}TYPE=ext4\nUSAGE=filesystem\n`)?.type).toBe('ext4');
  expect(contentOf(`${place}AMBIVALENT=yes\n`)?.words).toBe('a signature');
});
