// heartbeat 3 with the haresources of packaging/heartbeat/haresources.example: takeover, and the
// return of the failed node as Secondary with a resync in the background.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repository } from '../support/systemProcess';
import { eventually } from './support/deadline';
import type { Guest } from './support/guest';
import { configure, inSyncPrimary, property, rejoined } from './support/mirror';
import { guestPair } from './support/pair';

const EXAMPLE = readFileSync(join(repository, 'packaging/heartbeat/haresources.example'), 'utf8');
const HARESOURCES = EXAMPLE.replace(/^node1 /m, 'alpha ');

const { pair, step } = guestPair('heartbeat');

function isMounted(guest: Guest): Promise<true> {
  return eventually(
    `/data to be mounted on ${guest.name}`,
    async () => ((await guest.run('findmnt /data')).status === 0 ? true : undefined),
    240_000,
    2000,
  );
}

step('heartbeat promotes the preferred node and mounts there', async () => {
  const { alpha, beta } = pair();
  await configure(pair(), 'r0');
  await inSyncPrimary(pair(), 'r0');
  await alpha.runOk('mkfs.ext4 -q /dev/blkmirror/r0 && blkmirror demote r0');
  const addresses = { alpha: '192.0.2.2', beta: '192.0.2.1' };
  for (const guest of [alpha, beta]) {
    const peer = addresses[guest.name as keyof typeof addresses];
    await guest.runOk(`mkdir -p /data
cat >/etc/ha.d/ha.cf <<'END'
logfacility daemon
keepalive 2
deadtime 15
warntime 10
initdead 40
udpport 694
ucast eth0 ${peer}
auto_failback off
node alpha
node beta
END
cat >/etc/ha.d/haresources <<'END'
${HARESOURCES}
END
printf 'auth 1\\n1 crc\\n' >/etc/ha.d/authkeys && chmod 600 /etc/ha.d/authkeys`);
  }
  await pair().onBoth('systemctl start heartbeat');
  await isMounted(alpha);
  await alpha.runOk('echo one >/data/file && sync /data/file');
});

step('the other node takes over after power-off', async () => {
  const { alpha, beta } = pair();
  await alpha.powerOff();
  await isMounted(beta);
  expect(await beta.runOk('cat /data/file')).toBe('one');
  await beta.runOk('echo two >/data/file && sync /data/file');
});

step('the failed node comes back as Secondary and resyncs', async () => {
  const { alpha } = pair();
  await alpha.powerOn();
  await alpha.runOk('systemctl start heartbeat');
  await rejoined(alpha, pair().beta, 'r0');
  expect(await property(alpha, 'r0', 'Role')).toBe('Secondary');
  expect(await pair().beta.runOk('cat /data/file')).toBe('two');
});
