// Who takes part in the guest. Each has two copies of its own and reaches the second over TCP on
// loopback. A contender is bash scripts: what starts it, and the device it then offers.

import { eventually } from '../../vm/support/deadline';
import type { Guest } from '../../vm/support/guest';
import { INSTALL } from '../../vm/support/prepare';
import type { GuestCell } from './cells';

type Backing = GuestCell['backing'];

export interface GuestContender {
  readonly name: string;
  readonly settings: string;
  /** By what lies under its copies; without one it takes no part there. */
  readonly devices: Partial<Readonly<Record<Backing, string>>>;
  start(guest: Guest): Promise<void>;
}

const DEADLINE = { deadlineMs: 300_000 };
const PEERS = '/opt/peers';
const BETA = '--bus unix:path=/run/beta.bus --node beta';

/** RAM disks of 64 GiB, and such with a write cache that takes 16 ms to flush, as a disk's does. */
const DISKS = `
set -e
modprobe brd rd_nr=7 rd_size=67108864 max_part=0
modprobe -a drbd raid1 nbd dm-delay
modprobe null_blk nr_devices=0
for number in 0 1 2 3 4; do
  disk=/sys/kernel/config/nullb/cached$number
  mkdir $disk
  echo 65536 >$disk/size
  echo 4096 >$disk/blocksize
  echo 1 >$disk/memory_backed
  echo 16 >$disk/cache_size
  echo 1 >$disk/power
  below=/dev/cached$number
  udevadm settle
  dmsetup create slow$number \
    --table "0 $(blockdev --getsz $below) delay $below 0 0 $below 0 0 $below 0 16"
done
mkdir -p ${PEERS} /var/lib/drbd
for file in /mnt/*.deb; do
  case $file in */blkmirror_*) ;; *) dpkg-deb --extract $file ${PEERS} ;; esac
done
udevadm settle`;

export async function prepareGuest(guest: Guest): Promise<void> {
  await guest.runOk(INSTALL, DEADLINE);
  await guest.runOk(DISKS);
}

const blkmirror: GuestContender = {
  name: 'blkmirror',
  settings: 'two daemons, protocol C, default options, the kernel device /dev/nbdN',
  devices: { memory: '/dev/blkmirror/memory', 'slow flush': '/dev/blkmirror/slow' },
  async start(guest) {
    await guest.runOk(`
configure() {
  printf '[node "%s"]\naddress = 127.0.0.1:%s\ndisk = %s\n' \
    guest 7788 $2 beta 7789 $3 >/etc/blkmirror/resources.d/$1.conf
}
configure memory /dev/ram0 /dev/ram1
configure slow /dev/mapper/slow0 /dev/mapper/slow1
dbus-daemon --session --address=unix:path=/run/beta.bus --fork --nopidfile
systemd-run --quiet --unit=beta blkmirrord --run-dir /run/beta --state-dir /var/lib/beta ${BETA}
systemctl start blkmirrord`);
    for (const name of ['memory', 'slow']) {
      const words = `create-md ${name} --skip-initial-sync`;
      await guest.runOk(`blkmirror ${words} && blkmirror ${BETA} ${words}`, DEADLINE);
    }
    await guest.runOk(`blkmirror ${BETA} up all && blkmirror up all`, DEADLINE);
    for (const name of ['memory', 'slow']) {
      await guest.runOk(`blkmirror promote ${name} --force`, DEADLINE);
      await connected(guest, name);
    }
  },
};

async function connected(guest: Guest, name: string): Promise<void> {
  const peer = `/org/blkmirror/Mirror1/devices/${name}/peers/beta`;
  const get = `busctl get-property org.blkmirror.Mirror1 ${peer} org.blkmirror.Mirror1.Peer`;
  await eventually(`${name} to be in sync`, async () => {
    const { stdout } = await guest.run(`${get} ReplicationState DiskState`);
    return /"Established"\s+s "UpToDate"/.test(stdout) ? true : undefined;
  });
}

const drbd: GuestContender = {
  name: 'DRBD',
  settings: 'the kernel module 8.4, two resources of one guest, protocol C, default options',
  devices: { memory: '/dev/drbd0', 'slow flush': '/dev/drbd2' },
  async start(guest) {
    await guest.runOk(`
PATH=$PATH:${PEERS}/lib/drbd:${PEERS}/sbin
make() { # MINOR DISK PORT PORT-OF-THE-OTHER
  drbdmeta --force $1 v08 $2 internal create-md
  drbdsetup-84 new-resource r$1
  drbdsetup-84 new-minor r$1 $1 0
  drbdsetup-84 attach $1 $2 $2 internal
  drbdsetup-84 connect r$1 ipv4:127.0.0.1:$3 ipv4:127.0.0.1:$4 --protocol=C
}
set -e
make 0 /dev/ram2 7001 7002
make 1 /dev/ram3 7002 7001
make 2 /dev/mapper/slow2 7003 7004
make 3 /dev/mapper/slow3 7004 7003
for minor in 0 2; do
  drbdsetup-84 wait-connect $minor --wfc-timeout=30
  drbdsetup-84 new-current-uuid --clear-bitmap $minor
  drbdsetup-84 primary $minor
done`);
    await eventually('DRBD to be in sync', async () => {
      const { stdout } = await guest.run(
        'grep -c "Primary/Secondary ds:UpToDate/UpToDate" /proc/drbd',
      );
      return stdout.trim() === '2' ? true : undefined;
    });
  },
};

const md: GuestContender = {
  name: 'md over nbd',
  settings: 'raid1, internal bitmap, over a RAM disk and nbdkit file (page cache) by TCP',
  devices: { memory: '/dev/md0' },
  async start(guest) {
    await guest.runOk(`
set -e
plugins=${PEERS}/usr/lib/x86_64-linux-gnu/nbdkit/plugins
${PEERS}/usr/bin/nbdkit -i 127.0.0.1 -p 10809 $plugins/nbdkit-file-plugin.so file=/dev/ram5
nbd-client 127.0.0.1 10809 /dev/nbd9
${PEERS}/sbin/mdadm --create /dev/md0 --run --level=1 --raid-devices=2 --metadata=1.2 \
  --assume-clean --bitmap=internal /dev/ram4 --write-mostly /dev/nbd9
udevadm settle`);
  },
};

const raw: GuestContender = {
  name: 'raw disk',
  settings: 'the RAM disk or the disk with slow flushes itself, one of them: the limit',
  devices: { memory: '/dev/ram6', 'slow flush': '/dev/mapper/slow4' },
  start: () => Promise.resolve(),
};

export const GUEST_CONTENDERS: readonly GuestContender[] = [blkmirror, drbd, md, raw];
