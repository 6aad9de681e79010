// The package on two fresh hosts, step by step as README.md tells it.

import { guestPair } from './support/pair';
import { configure, inSync, statusOf } from './support/mirror';

const { pair, step } = guestPair('install', 'booted');

step('apt installs the package, and its service runs', async () => {
  await pair().onBoth('cd /mnt && apt-get install -qq ./blkmirror_*.deb', { deadlineMs: 300_000 });
  const states = await pair().onBoth(
    'systemctl is-active blkmirrord; systemctl is-enabled blkmirrord',
  );
  expect(states).toEqual(['active\nenabled', 'active\nenabled']);
});

step('create-md and `systemctl enable --now blkmirror@r0` bring the resource up', async () => {
  await configure(pair(), 'r0');
  await pair().onBoth('blkmirror create-md r0 && systemctl enable --now blkmirror@r0');
  const status = await statusOf(pair().alpha, 'r0');
  expect(status).toMatchObject({ role: 'Secondary', diskState: 'Inconsistent' });
  expect(status.peers).toMatchObject([{ name: 'beta', connectionState: 'Connected' }]);
});

step('promoted with --force, it resyncs, and a file system is made and mounted on it', async () => {
  const { alpha, beta } = pair();
  await alpha.runOk('blkmirror promote r0 --force && mkfs.ext4 -q /dev/blkmirror/r0');
  await alpha.runOk('mount /dev/blkmirror/r0 /srv && echo mirrored >/srv/file && umount /srv');
  await inSync(beta, 'r0');
  expect(await statusOf(alpha, 'r0')).toMatchObject({ role: 'Primary', diskState: 'UpToDate' });
});

step('the other node takes over, and has the file', async () => {
  const { alpha, beta } = pair();
  await alpha.runOk('blkmirror demote r0 && ! ls /dev/blkmirror/r0');
  await beta.runOk('blkmirror promote r0 && mount /dev/blkmirror/r0 /srv');
  expect(await beta.runOk('cat /srv/file')).toBe('mirrored');
});
