// The Debian packages blkmirror is built, run and tested with, and how to get the missing ones.
// Called by setup.mjs.

import { spawnSync } from 'node:child_process';
import { run, runQuietly } from './tools.mjs';

/** What `npm run setup` needs, and what the demonstration shows its writes with. */
export const NEEDED_TO_RUN = [
  'g++',
  'make',
  'pkg-config',
  'python3',
  'liburing-dev',
  'libsystemd-dev',
  'libxxhash-dev',
  'dbus',
  'fio',
  'libnbd-bin',
  'qemu-utils',
];

/** What `npm run deb` needs besides; lintian looks at what it made. */
export const NEEDED_TO_PACKAGE = ['dpkg-dev', 'debhelper', 'scdoc', 'lintian'];

/** What `npm test` needs besides. */
export const NEEDED_TO_TEST = [
  ...NEEDED_TO_PACKAGE,
  'nbdkit',
  'e2fsprogs',
  'xfsprogs',
  'btrfs-progs',
  'dosfstools',
  'exfatprogs',
  'ntfs-3g',
  'squashfs-tools',
  'lvm2',
  'fdisk',
  'fuse3',
  'nftables',
  'iproute2',
  'strace',
  'clang-format',
  'git',
  'util-linux',
  'g++-s390x-linux-gnu',
  'qemu-user',
  'systemd',
  'polkitd',
  'udev',
  'shellcheck',
  'devscripts',
  'resource-agents',
  'libxml2-utils',
];

/** What `npm run test:vm` needs besides, beyond what packaging does. */
export const NEEDED_FOR_GUESTS = ['qemu-system-x86', 'mmdebstrap', 'e2fsprogs', 'util-linux'];

/** What `npm run fuzz` needs besides. */
export const NEEDED_TO_FUZZ = ['clang-19', 'llvm-19', 'libclang-rt-19-dev'];

/** What `npm run bench` needs besides. */
export const NEEDED_TO_BENCH = ['nbdkit', 'socat', 'debian-archive-keyring'];

export function missingPackages(wanted) {
  const query = spawnSync(
    'dpkg-query',
    ['-W', '-f', '${Package}=${db:Status-Status}\n', ...wanted],
    {
      encoding: 'utf8',
    },
  );
  if (query.error)
    throw new Error('dpkg-query not found: blkmirror is set up on Debian or a derivative');
  const installed = new Set(
    query.stdout
      .split('\n')
      .filter((line) => line.endsWith('=installed'))
      .map((line) => line.slice(0, line.indexOf('='))),
  );
  return wanted.filter((name) => !installed.has(name));
}

/** Installs `missing` as root, else says which one command does. Answers whether they are there. */
export function installPackages(missing) {
  const install = ['install', '-y', '--no-install-recommends', ...missing];
  if (process.getuid() !== 0) {
    process.stdout.write(
      `These Debian packages are missing. Install them, then run the same command again:\n\n` +
        `  sudo apt-get install -y --no-install-recommends ${missing.join(' ')}\n\n`,
    );
    return false;
  }
  process.stdout.write(`Installing Debian packages: ${missing.join(' ')}\n`);
  const options = { env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' } };
  const simulated = spawnSync('apt-get', ['install', '-s', ...missing], { stdio: 'ignore' });
  if (simulated.status !== 0 || aptListsAreEmpty()) run('apt-get', ['update', '-qq'], options);
  if (runQuietly('apt-get', install, options) === 0) return true;
  // Package lists that are too old name files the mirror no longer has.
  run('apt-get', ['update', '-qq'], options);
  return runQuietly('apt-get', install, options) === 0;
}

function aptListsAreEmpty() {
  const listing = spawnSync('apt-cache', ['policy', 'g++'], { encoding: 'utf8' });
  return !/Candidate: \d/.test(listing.stdout ?? '');
}
