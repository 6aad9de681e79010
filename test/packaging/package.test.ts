// The Debian package: what `npm run deb` leaves, what is in it, what lintian says, and that the
// programs work from where it puts them, without the source tree and its packages.

import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PrivateBus, until } from '../support/privateBus';
import type { Outcome } from '../support/privateBus';
import { Background, freePorts, repository, run } from '../support/systemProcess';
import { runOk, scratchFolder } from '../support/systemProcess';

const OUT = join(repository, 'packaging/out');
/** Receives what sd_notify(3) sends, one line each, until it is killed. */
const MANAGER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True:
    print(s.recv(4096).decode(), end="", flush=True)
`;

/** $1: the folder, $2: prerm. A file system on a loop device that goes by the device's name. */
const MOUNTED = `
mount --make-rprivate / && mkdir -p "$1/mnt" "$1/dev/blkmirror" && cd "$1" &&
mkfs.ext4 -q -F fs.img 2M && mount -o loop fs.img mnt &&
set -- "$2" $(stat -c '%Hr %Lr' "$(findmnt --noheadings --output SOURCE mnt)") &&
mount -t tmpfs tmpfs dev && mkdir dev/blkmirror && mknod dev/null c 1 3 &&
mknod dev/blkmirror/r0 b "$2" "$3" && mount --bind dev /dev && sh "$1" remove`;
/** Mounts need root. */
const asRoot = process.getuid?.() === 0 ? test : test.skip;

const folder = scratchFolder();
const installed = join(folder, 'root');
process.env['BLKMIRROR_COMPILE_CACHE'] = join(folder, 'cache');
const bus = new PrivateBus();
let deb = '';
let contents: string[] = [];

beforeAll(async () => {
  const built = await run(process.execPath, [join(repository, 'scripts/deb.mjs')], {
    deadlineMs: 240_000,
  });
  if (built.status !== 0) throw new Error(`${built.stdout}${built.stderr}`);
  deb = join(OUT, readdirSync(OUT)[0] ?? '');
  const listing = await runOk('dpkg-deb', ['--contents', deb]);
  contents = [...listing.matchAll(/ \.(\/\S+)/g)].map(([, path = '']) => path);
  await runOk('dpkg-deb', ['--extract', deb, installed]);
  await bus.start();
}, 300_000);

afterAll(async () => {
  await bus.remove();
  rmSync(folder, { recursive: true, force: true });
});

function field(name: string): Promise<string> {
  return runOk('dpkg-deb', ['--field', deb, name]).then((text) => text.trim());
}

function program(name: string): string {
  return realpathSync(join(installed, 'usr/bin', name));
}

test('exactly one package is left, of the version of the source', async () => {
  const names = readdirSync(OUT);
  expect(names).toHaveLength(1);
  expect(names[0]).toMatch(/^blkmirror_.*\.deb$/);
  const text = readFileSync(join(repository, 'package.json'), 'utf8');
  expect(await field('Version')).toBe((JSON.parse(text) as { version: string }).version);
});

test('it depends on nodejs, dbus, udev, systemd and libraries alone', async () => {
  const names = (await field('Depends')).split(', ');
  const others = names.filter((name) => !/^lib[a-z0-9+-]+ \(/.test(name));
  expect(others.sort()).toEqual(['dbus', 'nodejs (>= 18)', 'systemd', 'udev']);
  expect(await field('Recommends')).toBe('');
});

test('everything is where Debian looks for it, and no npm package', () => {
  for (const path of [
    '/etc/blkmirror/blkmirror.conf',
    '/etc/blkmirror/resources.d/',
    '/etc/ha.d/resource.d/blkmirror',
    '/etc/multipath/conf.d/blkmirror.conf',
    '/lib/modprobe.d/blkmirror.conf',
    '/lib/systemd/system/blkmirrord.service',
    '/lib/systemd/system/blkmirror@.service',
    '/lib/udev/rules.d/65-blkmirror.rules',
    '/usr/bin/blkmirror',
    '/usr/bin/blkmirrord',
    '/usr/lib/blkmirror/crm-fence-peer',
    '/usr/lib/blkmirror/crm-unfence-peer',
    '/usr/lib/ocf/resource.d/blkmirror/mirror',
    '/usr/share/bash-completion/completions/blkmirror',
    '/usr/share/dbus-1/system.d/org.blkmirror.Mirror1.conf',
    '/usr/share/dbus-1/system-services/org.blkmirror.Mirror1.service',
    '/usr/share/man/man5/blkmirror.conf.5.gz',
    '/usr/share/man/man7/ocf_blkmirror_mirror.7.gz',
    '/usr/share/man/man8/blkmirror.8.gz',
    '/usr/share/man/man8/blkmirrord.8.gz',
    '/usr/share/polkit-1/actions/org.blkmirror.policy',
  ]) {
    expect(contents).toContain(path);
  }
  expect(contents.filter((path) => path.includes('node_modules'))).toEqual([]);
});

test('lintian is content', async () => {
  const args = ['--allow-root', '--fail-on', 'error,warning', '--tag-display-limit', '0', deb];
  // lintian leaves files of its own there.
  const env = { TMPDIR: folder };
  expect(await run('lintian', args, { env })).toEqual({ status: 0, stdout: '', stderr: '' });
}, 120_000);

asRoot('removal is refused while the device is mounted', async () => {
  const control = join(folder, 'control');
  await runOk('dpkg-deb', ['--control', deb, control]);
  const remove = (script: string): Promise<Outcome> =>
    run('unshare', ['--mount', 'sh', '-c', script, 'sh', folder, join(control, 'prerm')]);
  const refused = await remove(MOUNTED);
  expect(refused).toMatchObject({
    status: 1,
    stderr: 'blkmirror: /dev/blkmirror/r0 is in use; unmount it, then remove the package\n',
  });
  expect(await remove(MOUNTED.replace('remove', 'upgrade 0.2'))).toMatchObject({ status: 0 });
});

test('what V8 compiled of a program is kept, and used whole and for that text alone', async () => {
  const says = (): Promise<string> =>
    runOk(process.execPath, [program('blkmirror'), '--version']).then((text) => text.trim());
  const version = await says();
  const kept = join(folder, 'cache', `blkmirror.program.js.${process.version}`);
  const good = readFileSync(kept);
  writeFileSync(kept, good.fill(0, 1000, 5000));
  expect(await says()).toBe(version);
  expect(
    readFileSync(kept)
      .subarray(1000, 5000)
      .every((byte) => byte === 0),
  ).toBe(false);

  const text = program('blkmirror').replace(/\.js$/, '.program.js');
  const original = readFileSync(text, 'utf8');
  try {
    const other = `console.log('other');process.exit(0);${' '.repeat(original.length)}`;
    writeFileSync(text, other.slice(0, original.length));
    expect(await says()).toBe('other');
  } finally {
    writeFileSync(text, original);
  }
  expect(await says()).toBe(version);
});

test('the service runs from there, tells systemd, and the commands reach it', async () => {
  const etc = join(folder, 'etc');
  mkdirSync(join(etc, 'resources.d'), { recursive: true });
  await runOk('truncate', ['--size=16M', join(folder, 'r0.img')]);
  const [port = 0] = await freePorts(1);
  // Nobody listens on port 1: the peer is never there.
  const nodes = [`alpha"]\naddress = 127.0.0.1:${port}`, 'beta"]\naddress = 127.0.0.1:1'];
  const sections = nodes.map((node) => `[node "${node}\ndisk = ${folder}/r0.img\n`);
  const options = '[resource]\ndevice = none\n[startup]\nwfc-timeout = 1\n';
  writeFileSync(join(etc, 'resources.d/r0.conf'), `${options}${sections.join('')}`);
  const cli = (...args: string[]): Promise<Outcome> => {
    const globals = ['--bus', bus.address, '--config-dir', etc, '--node', 'alpha'];
    return run(process.execPath, [program('blkmirror'), ...globals, ...args]);
  };
  expect(await cli('create-md', 'r0')).toMatchObject({ status: 0, stderr: '' });

  const notify = join(folder, 'notify');
  const told = join(folder, 'told.log');
  const manager = Background.start('python3', ['-c', MANAGER, notify], told);
  await until('the manager listens', () => existsSync(notify));
  const words = ['--config-dir', etc, '--run-dir', join(folder, 'run'), '--node', 'alpha'];
  const daemon = Background.start(
    'env',
    [
      `NOTIFY_SOCKET=${notify}`,
      'WATCHDOG_USEC=200000',
      ...[process.execPath, program('blkmirrord'), ...words, '--bus', bus.address],
    ],
    join(folder, 'daemon.log'),
  );
  const says = (text: string): Promise<void> =>
    until(`systemd is told ${text}`, () => readFileSync(told, 'utf8').includes(text), 30_000);
  await says('READY=1\nSTATUS=0 resources up, 0 Primary');
  expect(await cli('up', 'r0', '--wait')).toMatchObject({
    status: 0,
    stderr: 'blkmirror: r0: beta is not connected after 1 s\n',
  });
  expect(await cli('promote', 'r0', '--force')).toMatchObject({ status: 0, stderr: '' });
  await says('STATUS=1 resources up, 1 Primary');
  await says('WATCHDOG=1');
  daemon.signal('SIGTERM');
  await daemon.ended();
  await says('STOPPING=1');
  await manager.kill();
}, 120_000);
