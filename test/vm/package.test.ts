// What else an administrator does with the package and its service: stop and start, upgrade,
// removal, purge; and what is left of it afterwards.

import { eventually } from './support/deadline';
import { configure, inSyncPrimary, install, property } from './support/mirror';
import { guestPair } from './support/pair';

const APT_DEADLINE_MS = 300_000;
/** Everything but what changes by itself, and what another program keeps about a package. */
const FILES = `find / -xdev \\( -path /var/log -o -path /var/cache -o -path /tmp \\
-o -path '/var/lib/systemd/*' -o -path '/var/lib/dpkg/*' -o -path /var/lib/apt \\) -prune \\
-o -print | sort`;

const { pair, step } = guestPair('package', 'booted');
let before = '';

step('stop and start: nothing is held in between, and what was up comes up again', async () => {
  const { alpha, beta } = pair();
  before = await alpha.runOk(FILES);
  await install(pair());
  await configure(pair(), 'r0');
  await inSyncPrimary(pair(), 'r0');
  await beta.runOk(`systemctl stop blkmirrord
! pgrep -f 'blkmirrord|blkmirror-handlers' && ! ls /run/blkmirror/*.sock
if [ -d /sys/module/nbd ]; then rmmod nbd; fi
flock --nonblock /dev/vdb true && systemctl start blkmirrord`);
  await eventually('beta to be connected again', async () =>
    (await property(beta, 'r0/peers/alpha', 'ReplicationState')) === 'Established'
      ? true
      : undefined,
  );
  expect(await property(beta, 'r0', 'DiskState')).toBe('UpToDate');
});

step('an upgrade restarts the service with the resource up', async () => {
  const { beta } = pair();
  const old = await beta.runOk('systemctl show --property MainPID --value blkmirrord');
  await beta.runOk('apt-get install -qq --reinstall /mnt/blkmirror_*.deb', {
    deadlineMs: APT_DEADLINE_MS,
  });
  const now = await beta.runOk('systemctl show --property MainPID --value blkmirrord');
  expect(now).not.toBe(old);
  await eventually('beta to be connected again', async () =>
    (await beta.run('busctl --list tree org.blkmirror.Mirror1')).stdout.includes('/peers/alpha') &&
    (await property(beta, 'r0/peers/alpha', 'ReplicationState')) === 'Established'
      ? true
      : undefined,
  );
});

step('the programs of the package run on the Node of Debian 12', async () => {
  const { beta } = pair();
  expect(await beta.runOk('/usr/bin/node --version')).toMatch(/^v18\./);
  const version = await beta.runOk("dpkg-query --show --showformat '${Version}' blkmirror");
  expect(await beta.runOk('blkmirror --version')).toContain(version);
});

step('the service is confined: systemd-analyze security says 4.0 or better', async () => {
  const { beta } = pair();
  const line = await beta.runOk('systemd-analyze security blkmirrord | tail -n 1');
  const [, exposure = '10'] = /level for blkmirrord\.service: ([0-9.]+)/.exec(line) ?? [];
  expect(Number(exposure)).toBeLessThanOrEqual(4);
});

step('removal is refused while the device is in use, and purge leaves only the data', async () => {
  const { alpha } = pair();
  const remove = { deadlineMs: APT_DEADLINE_MS };
  await alpha.runOk('mkfs.ext4 -q /dev/blkmirror/r0 && mount /dev/blkmirror/r0 /srv');
  const refused = await alpha.run('apt-get remove -qq blkmirror', remove);
  expect(refused.status).not.toBe(0);
  expect(`${refused.stdout}${refused.stderr}`).toContain('is in use; unmount it');
  expect(await alpha.runOk('echo kept >/srv/file; cat /srv/file')).toBe('kept');
  await alpha.runOk('umount /srv; apt-get remove -qq blkmirror', remove);
  expect(await alpha.runOk('ls /etc/blkmirror/resources.d /etc/blkmirror')).toContain('r0.conf');
  await alpha.runOk('apt-get purge -qq blkmirror; systemctl daemon-reload', remove);
  const known = new Set(before.split('\n'));
  const left = (await alpha.runOk(FILES)).split('\n').filter((path) => !known.has(path));
  expect(left.sort()).toEqual([
    '/etc/blkmirror',
    '/etc/blkmirror/resources.d',
    '/etc/blkmirror/resources.d/r0.conf',
  ]);
});
