// Backing disks of every kind: a SCSI disk, a partition, a logical volume, a loop device. (A whole
// virtio disk is what the other tests have.) What is written on one node is there on the other.

import { BACKING_DISK, configure, FUNCTIONS, inSyncPrimary } from './support/mirror';
import { guestPair } from './support/pair';

const KINDS = {
  scsi: '/dev/disk/by-id/test-scsi',
  part: `${BACKING_DISK}-part1`,
  lvm: '/dev/vg0/r0',
  loop: '/dev/loop7',
} as const;
const NAMES = Object.keys(KINDS) as (keyof typeof KINDS)[];

const { pair, step } = guestPair('disks');

function url(name: string): string {
  return `nbd+unix:///?socket=/run/blkmirror/${name}.sock`;
}

step('disks of four kinds are claimed, mirrored and in sync', async () => {
  await pair().onBoth(`set -e
modprobe scsi_debug dev_size_mb=24 delay=0
udevadm settle
disk=$(basename /sys/bus/pseudo/drivers/scsi_debug/adapter0/host*/target*/*/block/*)
ln -s /dev/$disk ${KINDS.scsi}
parted --script ${BACKING_DISK} mklabel gpt mkpart r0 1MiB 25MiB mkpart vg 25MiB 95MiB
udevadm settle
pvcreate --quiet ${BACKING_DISK}-part2
vgcreate --quiet vg0 ${BACKING_DISK}-part2
lvcreate --quiet --yes --name r0 --size 24M vg0
truncate --size 24M /var/lib/loop.img
losetup ${KINDS.loop} /var/lib/loop.img`);
  for (const name of NAMES) await configure(pair(), name, { disk: KINDS[name] });
  await inSyncPrimary(pair(), ...NAMES);
});

step('what is written on alpha is what beta serves after it', async () => {
  const { alpha, beta } = pair();
  const written = await alpha.runOk(`${FUNCTIONS}; set -e
for name in ${NAMES.join(' ')}; do
  head -c 20971520 /dev/urandom >/tmp/data && sha256sum </tmp/data
  nbdcopy /tmp/data "${url('$name')}" && bm_demote $name
done`);
  const read = await beta.runOk(`${FUNCTIONS}; set -e
for name in ${NAMES.join(' ')}; do
  bm_promote $name && nbdcopy "${url('$name')}" /tmp/data
  head -c 20971520 /tmp/data | sha256sum
done`);
  expect(written.split('\n')).toHaveLength(NAMES.length);
  expect(read).toBe(written);
});

step('a disk that is attached is not to be had, and a mounted one is refused', async () => {
  const { alpha } = pair();
  const held = await alpha.run(`mkfs.ext4 -q -F ${KINDS.loop}`);
  expect(held.stderr).toMatch(/in use/);
  await configure(pair(), 'mounted', { disk: '/dev/loop6' });
  await alpha.runOk(`truncate --size 24M /var/lib/mounted.img &&
losetup /dev/loop6 /var/lib/mounted.img && mkfs.ext4 -q /dev/loop6 && mount /dev/loop6 /srv`);
  const refused = await alpha.run('blkmirror create-md mounted --force');
  expect(refused.status).toBe(1);
  expect(refused.stderr).toMatch(/mounted|in use/);
  await alpha.runOk('umount /srv && losetup -d /dev/loop6');
});

step('`down` lets go of every disk', async () => {
  await pair().onBoth(`${FUNCTIONS}; set -e
for name in ${NAMES.join(' ')}; do bm_down $name; done
losetup -d ${KINDS.loop} && vgchange -an vg0 && rmmod scsi_debug`);
});
