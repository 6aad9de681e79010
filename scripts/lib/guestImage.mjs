// The Debian 12 system that the guests of `npm run test:vm` boot: built once by mmdebstrap and kept
// below the user's cache folder, by the hash of what goes into it. Needs root, and Debian's mirror
// when it is built; afterwards nothing from outside. Called by vm.mjs.

import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { filesBelow, hashOf, root, runQuietly } from './tools.mjs';

const SUITE = 'bookworm';
const SIZE = '3G';
const BUILD_DEADLINE_MS = 900_000;
/** An image that nobody has used for so long makes room for others. */
const UNUSED_MS = 7 * 24 * 3_600_000;

/** What the guests have, besides what these need. What the package depends on is here too. */
const PACKAGES = [
  ...['linux-image-cloud-amd64', 'initramfs-tools', 'zstd', 'systemd', 'systemd-sysv', 'dbus'],
  ...['udev', 'polkitd', 'kmod', 'apt', 'iproute2', 'iputils-ping', 'procps', 'psmisc', 'nftables'],
  ...['nodejs', 'liburing2', 'libsystemd0', 'e2fsprogs', 'fio', 'sqlite3', 'strace', 'logrotate'],
  ...['lvm2', 'parted', 'fdisk', 'nbd-client', 'libnbd-bin', 'kpartx', 'multipath-tools'],
  ...['pacemaker', 'pacemaker-cli-utils', 'corosync', 'crmsh', 'resource-agents', 'heartbeat'],
];

/** Started by tests alone, or of no use to them. */
const NOT_AT_BOOT = [
  ...['pacemaker', 'corosync', 'heartbeat', 'multipathd', 'nbd-client', 'nftables', 'cron'],
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer'],
  ...['e2scrub_reap', 'fstrim.timer', 'logrotate.timer', 'lvm2-monitor', 'getty@tty1'],
];

const OVERLAY = 'test/vm/image';

/** The folder with root.img, vmlinuz and initrd; made when it is not there. */
export function guestImage(say) {
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'blkmirror-vm');
  mkdirSync(cache, { recursive: true });
  const kept = join(cache, imageKey());
  if (!existsSync(kept)) {
    say('building the image of the guests ...');
    const made = mkdtempSync(join(cache, 'making-'));
    try {
      buildImage(made);
      if (!existsSync(kept)) renameSync(made, kept);
    } finally {
      rmSync(made, { recursive: true, force: true });
    }
  }
  utimesSync(kept, new Date(), new Date());
  removeUnused(cache, kept);
  return kept;
}

function imageKey() {
  const recipe = 'scripts/lib/guestImage.mjs';
  return hashOf([recipe, ...filesBelow(OVERLAY)]).slice(0, 16);
}

function removeUnused(cache, kept) {
  for (const name of readdirSync(cache)) {
    const folder = join(cache, name);
    if (folder !== kept && Date.now() - statSync(folder).mtimeMs > UNUSED_MS) {
      rmSync(folder, { recursive: true, force: true });
    }
  }
}

function buildImage(folder) {
  const system = join(folder, 'root');
  must('mmdebstrap', [...mmdebstrapOptions(), SUITE, system]);
  cpSync(join(root, OVERLAY), system, { recursive: true });
  finish(system);
  for (const [name, pattern] of [
    ['vmlinuz', /^vmlinuz-/],
    ['initrd', /^initrd\.img-/],
  ]) {
    const boot = join(system, 'boot');
    const found = readdirSync(boot).find((each) => pattern.test(each));
    if (found === undefined) throw new Error(`the image has no ${name}`);
    copyFileSync(join(boot, found), join(folder, name));
  }
  must('truncate', ['--size', SIZE, join(folder, 'root.img')]);
  must('mke2fs', ['-q', '-t', 'ext4', '-d', system, join(folder, 'root.img')]);
  rmSync(system, { recursive: true, force: true });
}

function mmdebstrapOptions() {
  const apt = ['Acquire::Languages "none"', 'APT::Install-Recommends "false"', ...hostProxy()];
  return [
    ...['--variant=minbase', `--include=${PACKAGES.join(',')}`],
    ...apt.map((option) => `--aptopt=${option}`),
    ...['doc', 'locale', 'man'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
    // Configuring the package system of the guests is over with the image.
    '--customize-hook=rm "$1"/etc/*/*.d/99mmdebstrap',
  ];
}

/** This machine's own proxy for packages serves the guests' too. */
function hostProxy() {
  const shown = spawnSync('apt-config', ['shell', 'found', 'Acquire::http::Proxy'], {
    encoding: 'utf8',
  });
  const [, proxy] = /^found='(.*)'$/m.exec(shown.stdout ?? '') ?? [];
  return proxy ? [`Acquire::http::Proxy "${proxy}"`] : [];
}

function finish(system) {
  const inside = (...words) => must('chroot', [system, ...words]);
  inside('systemctl', '--quiet', 'disable', ...NOT_AT_BOOT);
  inside('systemctl', '--quiet', 'enable', 'guest-agent', 'guest-network');
  inside('passwd', '--quiet', '--delete', 'root');
  inside('useradd', '--create-home', '--shell', '/bin/bash', 'user');
}

function must(command, args) {
  const status = runQuietly(command, args, { timeout: BUILD_DEADLINE_MS });
  if (status !== 0) throw new Error(`${command} failed: the image of the guests was not built`);
}
