// The howto of 1999 as written: two hosts, a loop device on each, and a real /dev/nbd0; no
// configuration file.

import { inSync, property } from './support/mirror';
import { guestPair } from './support/pair';

const SERVICE_DEADLINE_MS = 300_000;

const { pair, step } = guestPair('howto');

const SETUP = {
  alpha: 'blkmirror setup /dev/nbd0 /dev/loop0 node1 node2',
  beta: 'blkmirror setup /dev/nbd0 /dev/loop0 node2 node1',
};

step('`blkmirror setup` names what a fresh disk needs first', async () => {
  const { alpha, beta } = pair();
  await pair().onBoth(`set -e
case $(hostname) in alpha) hostname node1 ;; *) hostname node2 ;; esac
printf '192.0.2.1 node1\\n192.0.2.2 node2\\n' >>/etc/hosts
truncate --size 64M /var/lib/mirror.img && losetup /dev/loop0 /var/lib/mirror.img
systemctl start blkmirrord`);
  const refused = await Promise.all([alpha.run(SETUP.alpha), beta.run(SETUP.beta)]);
  const hint = /has no blkmirror metadata yet; run: blkmirror .*create-md nbd0/;
  for (const { status, stderr } of refused) {
    expect(status).toBe(1);
    expect(stderr).toMatch(hint);
  }
});

step('after it, setup on one host and its mirror image on the other connect them', async () => {
  const { alpha, beta } = pair();
  await pair().onBoth('blkmirror create-md nbd0', { deadlineMs: SERVICE_DEADLINE_MS });
  await Promise.all([alpha.runOk(SETUP.alpha), beta.runOk(SETUP.beta)]);
  await alpha.runOk('blkmirror promote /dev/nbd0 --force');
  await inSync(beta, 'nbd0');
  expect(await property(alpha, 'nbd0', 'DevicePath')).toBe('/dev/blkmirror/nbd0');
  expect(await alpha.runOk('readlink -f /dev/blkmirror/nbd0')).toBe('/dev/nbd0');
});

step(
  '/dev/nbd0 is a disk like any other, and `promote` on the other host has its data',
  async () => {
    const { alpha, beta } = pair();
    await alpha.runOk(`set -e
mkfs.ext4 -q /dev/nbd0 && mount /dev/nbd0 /srv
head -c 20000000 /dev/urandom >/srv/file && sha256sum </srv/file >/srv/sum
umount /srv && blkmirror demote /dev/nbd0`);
    await beta.runOk('blkmirror promote /dev/nbd0');
    await beta.runOk('fsck.ext4 -fn /dev/nbd0 && mount /dev/nbd0 /srv');
    expect(await beta.runOk('sha256sum </srv/file')).toBe(await beta.runOk('cat /srv/sum'));
  },
);
