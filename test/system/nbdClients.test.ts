// The NBD clients that people have work with the socket of the Primary, and what they do reaches
// the other copy.

import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NbdClient } from '../support/nbdClient';
import { Cluster, MIB } from '../support/systemCluster';
import { run, runOk } from '../support/systemProcess';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.inSync({ diskBytes: 64 * MIB });
});

afterAll(() => cluster.remove());
afterEach(() => cluster.expectIdentical());

function uri(): string {
  return cluster.first.uri();
}

/** qemu-io prints errors and still ends with 0. */
async function qemuIo(...commands: string[]): Promise<void> {
  const words = commands.flatMap((command) => ['-c', command]);
  const { status, stdout, stderr } = await run('qemu-io', ['-f', 'raw', ...words, uri()]);
  expect(stdout + stderr).not.toMatch(/error|fail|verification|invalid/i);
  expect(status).toBe(0);
}

async function imageOfRandomBytes(name: string): Promise<string> {
  const { sizeBytes } = await cluster.first.status();
  const image = join(cluster.folder, name);
  writeFileSync(image, randomBytes(sizeBytes ?? 0));
  return image;
}

test('nbdinfo shows the export by both of its names', async () => {
  const { sizeBytes } = await cluster.first.status();
  const info = JSON.parse(await runOk('nbdinfo', ['--json', uri()])) as { exports: unknown[] };
  expect(info.exports[0]).toMatchObject({
    'export-size': sizeBytes,
    is_read_only: false,
    can_flush: true,
    can_fua: true,
    can_trim: true,
    can_zero: true,
    can_multi_conn: true,
  });
  const unnamed = `nbd+unix:///?socket=${cluster.first.socket()}`;
  expect(await runOk('nbdinfo', ['--size', unnamed])).toBe(`${sizeBytes ?? ''}\n`);
  expect(await runOk('nbdinfo', ['--list', unnamed])).toContain('r0');
});

test('an unknown export is refused, and the next one served', async () => {
  const wrong = `nbd+unix:///nonesuch?socket=${cluster.first.socket()}`;
  const refused = await run('nbdinfo', ['--size', wrong]);
  expect(refused.status).not.toBe(0);
  await runOk('nbdinfo', ['--size', uri()]);
});

test('nbdcopy writes an image and reads the same back', async () => {
  const image = await imageOfRandomBytes('nbdcopy.img');
  await runOk('nbdcopy', ['--flush', image, uri()]);
  const back = join(cluster.folder, 'back.img');
  await runOk('nbdcopy', [uri(), back]);
  await runOk('cmp', [image, back]);
});

test('qemu-img converts an image onto the device and finds it equal', async () => {
  const image = await imageOfRandomBytes('qemu.img');
  await runOk('qemu-img', ['convert', '-n', '-f', 'raw', '-O', 'raw', image, uri()]);
  const compared = await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', image, uri()]);
  expect(compared).toContain('Images are identical');
});

test('qemu-io writes and reads patterns', async () => {
  await qemuIo('write -P 0xa5 0 1M', 'read -P 0xa5 0 1M', 'write -P 0x5a 512 512');
  await qemuIo('read -P 0x5a 512 512', 'read -P 0xa5 1024 64k', 'flush');
});

test('qemu-io writes through to stable storage (FUA)', async () => {
  await qemuIo('write -f -P 0x11 4M 64k', 'read -P 0x11 4M 64k');
});

test('qemu-io writes zeroes, unmapping and not', async () => {
  await qemuIo('write -P 0xff 8M 2M', 'write -z 8M 1M', 'write -z -u 9M 512k');
  await qemuIo('read -P 0 8M 1536k', 'read -P 0xff 9728k 512k');
});

test('qemu-io discards, after which zeroes are read', async () => {
  await qemuIo('write -P 0xee 12M 2M', 'discard 12M 1M', 'read -P 0 12M 1M');
  await qemuIo('read -P 0xee 13M 1M', 'discard 14M 512', 'read -P 0 14M 512');
});

test('requests of 32 MiB are served', async () => {
  const client = await NbdClient.open(cluster.first.socket());
  const data = randomBytes(32 * MIB);
  await client.write(4096, data);
  expect((await client.read(4096, data.length)).equals(data)).toBe(true);
  await client.close();
});

test('many clients at once see one device', async () => {
  const path = cluster.first.socket();
  const clients = await Promise.all(Array.from({ length: 32 }, () => NbdClient.open(path, 'r0')));
  const blocks = clients.map(() => randomBytes(4096));
  await Promise.all(
    clients.map((client, i) => client.write(i * 4096, blocks[i] ?? Buffer.alloc(4096))),
  );
  for (const [i, client] of clients.entries()) {
    const other = (i + 7) % clients.length;
    expect((await client.read(other * 4096, 4096)).equals(blocks[other] ?? Buffer.alloc(0))).toBe(
      true,
    );
  }
  await Promise.all(clients.map((client) => client.close()));
});
