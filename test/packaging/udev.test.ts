// The udev rules, run by udev itself over a loop device that stands for an nbd one, with /dev and
// /run of its own. How real nbd devices and their partitions behave, only a guest shows.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { repository, runOk } from '../support/systemProcess';

const rules = readFileSync(join(repository, 'udev/65-blkmirror.rules'), 'utf8');
const folder = mkdtempSync(join(tmpdir(), 'blkmirror-udev-'));
const isRoot = process.getuid?.() === 0;
/** Mounts, and a device with rules, need root. */
const asRoot = isRoot ? test : test.skip;
/** Attached: udev's own rules call one without a file not ready. */
let loop = '';

/** $1: the folder with rules and environment; $2: the action; $3: the loop device. */
const SCRIPT = `
mount --make-rprivate / && mkdir -p /run/udev /run/blkmirror &&
mount -t tmpfs tmpfs /run/udev && mount -t tmpfs tmpfs /run/blkmirror &&
mkdir -p /run/udev/rules.d /run/blkmirror/udev /run/udev/dev &&
cp "$1/65-blkmirror.rules" /run/udev/rules.d/ && cp "$1/$3.env" /run/blkmirror/udev/ &&
mknod /run/udev/dev/null c 1 3 && cp --archive "/dev/$3" /run/udev/dev/ &&
mount --bind /run/udev/dev /dev && udevadm test --action="$2" "/sys/block/$3" 2>/dev/null`;

beforeAll(async () => {
  if (!isRoot) return;
  const file = join(folder, 'disk');
  writeFileSync(file, Buffer.alloc(1 << 20));
  loop = basename((await runOk('losetup', ['--find', '--show', file])).trim());
});

afterAll(async () => {
  if (loop !== '') await runOk('losetup', ['--detach', `/dev/${loop}`]);
  rmSync(folder, { recursive: true, force: true });
});

/** What udev knows of the device after the event. */
async function properties(environment: string, action = 'change'): Promise<Map<string, string>> {
  const standIn = rules.replace('KERNEL!="nbd[0-9]*"', 'KERNEL!="loop[0-9]*"');
  expect(standIn).not.toBe(rules);
  writeFileSync(join(folder, '65-blkmirror.rules'), standIn);
  writeFileSync(join(folder, `${loop}.env`), environment);
  const args = ['--mount', 'sh', '-c', SCRIPT, 'sh', folder, action, loop];
  const lines = (await runOk('unshare', args)).split('\n');
  return new Map(
    lines.flatMap((line) => {
      const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
      return name === undefined || value === undefined ? [] : [[name, value]];
    }),
  );
}

function links(found: Map<string, string>): string[] {
  const all = (found.get('DEVLINKS') ?? '').split(' ');
  return all.filter((link) => link.startsWith('/dev/blkmirror/')).sort();
}

asRoot('a Primary has its names', async () => {
  const found = await properties(
    'BLKMIRROR_RESOURCE=web-1.a\nBLKMIRROR_ROLE=Primary\nBLKMIRROR_DISK=vg0/r0\n',
  );
  expect(links(found)).toEqual(['/dev/blkmirror/by-disk/vg0/r0', '/dev/blkmirror/web-1.a']);
  expect(found.get('SYSTEMD_READY')).not.toBe('0');
  expect(found.has('UDISKS_IGNORE')).toBe(false);
});

asRoot('one on a file has no name by its disk', async () => {
  const found = await properties('BLKMIRROR_RESOURCE=r0\nBLKMIRROR_ROLE=Primary\n');
  expect(links(found)).toEqual(['/dev/blkmirror/r0']);
});

asRoot('what is not Primary is not ready, and nothing for a desktop', async () => {
  const found = await properties('BLKMIRROR_RESOURCE=r0\nBLKMIRROR_ROLE=Secondary\n');
  expect(links(found)).toEqual([]);
  expect(found.get('SYSTEMD_READY')).toBe('0');
  expect(found.get('UDISKS_IGNORE')).toBe('1');
});

asRoot('a device of somebody else is left as it is', async () => {
  const found = await properties('');
  expect(links(found)).toEqual([]);
  expect(found.has('UDISKS_IGNORE')).toBe(false);
});

test('every GOTO has its label below, and partitions take what their disk has', () => {
  const lines = rules.split('\n');
  const gotos = lines.flatMap((line, index) => {
    const [, label] = /GOTO="(\w+)"/.exec(line) ?? [];
    return label === undefined ? [] : [{ label, index }];
  });
  for (const { label, index } of gotos) {
    expect(lines.indexOf(`LABEL="${label}"`)).toBeGreaterThan(index);
  }
  expect(gotos.length).toBeGreaterThan(3);
  expect(rules).toContain('ENV{DEVTYPE}=="partition", IMPORT{parent}="BLKMIRROR_*"');
  expect(rules).toContain('SYMLINK+="blkmirror/$env{BLKMIRROR_RESOURCE}-part%n"');
});
