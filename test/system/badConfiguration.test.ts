// Configurations that are wrong: the line and what would be right are said, by the daemon and by
// create-md, with exit status 1, and what is up goes on.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cluster, makeSparseFile, MIB } from '../support/systemCluster';

jest.setTimeout(120_000);

let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.inSync({ tmpfs: true });
});

afterAll(() => cluster.remove());

afterEach(async () => {
  await cluster.untilInSync();
  expect((await cluster.first.devices()).map((device) => device.name)).toEqual(['r0']);
});

/** A right configuration of a resource r1 with a disk of its own. */
function rightConfig(options = ''): string {
  const disk = join(cluster.folder, 'r1.disk');
  makeSparseFile(disk, 16 * MIB);
  const text = cluster.configText(cluster.first, 'r0', options);
  return text.replaceAll(cluster.disk(cluster.first), disk);
}

/** `up` and `create-md` refuse it with that line and that text. */
async function expectRefused(text: string, line: number, message: RegExp): Promise<void> {
  const { first } = cluster;
  first.writeConfig('r1', text);
  const place = `${first.configFile('r1')}:${line}: `;
  for (const command of ['up', 'create-md']) {
    const said = await first.refused(command, 'r1');
    expect(said).toContain(place);
    expect(said).toMatch(message);
  }
}

function lineOf(text: string, part: string): number {
  return text.slice(0, text.indexOf(part)).split('\n').length;
}

test('an unknown key is refused with the nearest known one', async () => {
  const text = rightConfig('[net]\ntimeout-m = 1000\n');
  await expectRefused(text, lineOf(text, 'timeout-m'), /did you mean timeout-ms\?/);
});

test('an unknown section is refused', async () => {
  const text = rightConfig('[network]\n');
  await expectRefused(text, lineOf(text, '[network]'), /\[net\]/);
});

test.each(['c-plan-ahead = 20', 'csums-alg = sha1', 'resync-after = r0'])(
  'a limit or a way of a resync that is not there yet is refused: %s',
  async (line) => {
    const text = rightConfig(`[disk]\n${line}\n`);
    await expectRefused(text, lineOf(text, line), /not supported yet; remove the line/);
  },
);

test('an option that is not there yet is refused, never ignored', async () => {
  const text = rightConfig('[net]\nshared-secret = x\n');
  await expectRefused(text, lineOf(text, 'shared-secret'), /not supported yet/);
  const protocol = rightConfig('protocol = D\n');
  await expectRefused(protocol, lineOf(protocol, 'protocol'), /use A, B or C/);
});

test('a duplicate section is refused', async () => {
  const text = rightConfig('[net]\ntimeout-ms = 1000\n[net]\ntimeout-ms = 2000\n');
  await expectRefused(text, lineOf(text, '[net]\ntimeout-ms = 2000'), /\[net\]/);
});

test('a value out of range is refused with the range', async () => {
  const text = rightConfig('[net]\ntimeout-ms = soon\n');
  await expectRefused(text, lineOf(text, 'timeout-ms'), /whole number from \d+ to \d+/);
});

test('a configuration without this node is refused, naming those it has', async () => {
  const text = rightConfig().replace('[node "alpha"]', '[node "delta"]');
  await expectRefused(text, lineOf(text, '[node "beta"]'), /alpha.*delta|alpha.*beta/);
});

test('a disk that another resource has is refused', async () => {
  const { first } = cluster;
  const text = cluster.configText(first, 'r0');
  first.writeConfig('r1', text);
  const said = await first.refused('up', 'r1');
  expect(said).toContain(`${first.configFile('r1')}:${lineOf(text, 'disk =')}: `);
  expect(said).toMatch(/resource r0 already/);
});

test('an error in blkmirror.conf is told with its own file and line', async () => {
  const { first } = cluster;
  first.writeConfig('r1', rightConfig());
  const defaults = join(first.configDir, 'blkmirror.conf');
  writeFileSync(defaults, '[disk]\nal-extent = 7\n');
  const said = await first.refused('up', 'r1');
  expect(said).toContain(`${defaults}:2: `);
  expect(said).toMatch(/al-extents/);
  writeFileSync(defaults, '');
});

test('a resource without a file is refused', async () => {
  expect(await cluster.first.refused('up', 'nonesuch')).toMatch(/nonesuch/);
  expect(await cluster.first.refused('create-md', 'nonesuch')).toMatch(/nonesuch/);
});

test('wrong usage ends with status 2', async () => {
  for (const words of [['promote'], ['nonsense'], ['up', 'r0', '--nonsense']]) {
    expect((await cluster.first.cli(...words)).status).toBe(2);
  }
});
