// The kernel device in a guest: attributes, partitions, who keeps it in use, and what programs see
// of a service that is killed, restarted, stopped, or late.

import { eventually } from './support/deadline';
import type { Guest } from './support/guest';
import { BACKING_DISK, configure, inSync, install, property } from './support/mirror';
import { nodeStart } from './support/pace';
import { guestPair } from './support/pair';

const { pair, step } = guestPair('kernelDevice');

const DEVICE =
  'org.blkmirror.Mirror1 /org/blkmirror/Mirror1/devices/r0 org.blkmirror.Mirror1.Device';
const LOAD_DEADLINE_MS = 540_000;

/** By busctl, which starts at once. */
function call(guest: Guest, method: string): Promise<{ stdout: string; stderr: string }> {
  return guest.run(`busctl call --timeout=120 ${DEVICE} ${method} 'a{sv}' 0`);
}

async function callOk(guest: Guest, method: string): Promise<void> {
  expect((await call(guest, method)).stderr).toBe('');
}

/** Writes and verifies on /data while `event` runs and a little longer: the longest request, s. */
async function longestRequest(event: string): Promise<number> {
  const script = `
fio --name=load --directory=/data --size=24m --rw=randwrite --bs=4k --iodepth=8 --direct=1 \\
  --ioengine=libaio --verify=crc32c --verify_backlog=256 --time_based --runtime=900 \\
  --write_lat_log=/tmp/load --output=/tmp/load.out &
written() { awk '{ print $5 }' /sys/block/nbd0/stat; }
more() { n=$(written); until [ $(written) -gt $((n + 1000)) ]; do sleep 0.5; done; }
more
${event}
more
kill -INT $!; wait $!
grep -q 'err= 0' /tmp/load.out || { cat /tmp/load.out; exit 1; }
awk -F, '$2 > most { most = $2 } END { print most / 1e9 }' /tmp/load_clat.*.log
rm /tmp/load*`;
  return Number(await pair().alpha.runOk(script, { deadlineMs: LOAD_DEADLINE_MS }));
}

step('a promoted resource has its device, which is mounted', async () => {
  await install(pair());
  await configure(pair(), 'r0');
  await pair().onBoth('blkmirror create-md r0 && systemctl enable --now blkmirror@r0');
  const { alpha } = pair();
  await alpha.runOk('blkmirror promote r0 --force');
  const byDisk = `/dev/blkmirror/by-disk/${BACKING_DISK.replace('/dev/', '')}`;
  const names = await alpha.runOk(`readlink -f /dev/blkmirror/r0 ${byDisk}`);
  expect(names).toBe('/dev/nbd0\n/dev/nbd0');
  expect(await property(alpha, 'r0', 'DevicePath')).toBe('/dev/blkmirror/r0');
  await alpha.runOk(
    'mkfs.ext4 -q /dev/blkmirror/r0; mkdir -p /data; mount /dev/blkmirror/r0 /data',
  );
});

step('its attributes are those of the mirror', async () => {
  const { alpha } = pair();
  const bytes = Number(await property(alpha, 'r0', 'SizeBytes'));
  const names = 'size ro queue/logical_block_size queue/fua queue/io_timeout queue/max_sectors_kb';
  const values = await alpha.runOk(`cd /sys/block/nbd0 && cat ${names} queue/scheduler`);
  const expected = [bytes / 512, 0, 512, 1, 1000, 1024];
  expect(values.split('\n').slice(0, 6).map(Number)).toEqual(expected);
  expect(values).toContain('[none]');
});

step('demotion is refused while it is mounted or open, naming who', async () => {
  const { alpha } = pair();
  expect((await call(alpha, 'Demote')).stderr).toContain('/dev/nbd0 is mounted on /data');
  await alpha.runOk('umount /data');
  await alpha.runOk('tail -f /dev/null 3</dev/nbd0 >/dev/null 2>&1 & echo $! >/tmp/pid');
  expect((await call(alpha, 'Demote')).stderr).toMatch(/tail \(pid \d+\) has \/dev\/nbd0 open/);
  await alpha.runOk('kill $(cat /tmp/pid)');
  await alpha.runOk('mount /dev/blkmirror/r0 /data');
});

step('the service is killed under load: no error', async () => {
  await inSync(pair().beta, 'r0');
  const start = await nodeStart(pair().alpha);
  const pause = await longestRequest('kill -9 $(systemctl show -P MainPID blkmirrord)');
  console.log(`killed: a pause of ${pause.toFixed(1)} s beside a node start of ${start} s`);
  expect(await property(pair().alpha, 'r0', 'Role')).toBe('Primary');
});

step('the service is restarted under load: no error, and the kernel does not notice', async () => {
  await inSync(pair().beta, 'r0');
  const { alpha } = pair();
  const closed = 'dmesg | grep -c "nbd0.*\\(Receive control failed\\|reconnected\\)"';
  const before = await alpha.run(closed);
  const start = await nodeStart(alpha);
  const pause = await longestRequest('systemctl restart blkmirrord');
  console.log(`restarted: a pause of ${pause.toFixed(1)} s beside a node start of ${start} s`);
  expect((await alpha.run(closed)).stdout).toBe(before.stdout);
  expect(await property(alpha, 'r0', 'Role')).toBe('Primary');
});

step('the package is upgraded under load: no error', async () => {
  const { alpha } = pair();
  await inSync(pair().beta, 'r0');
  const pause = await longestRequest(
    'apt-get install -qq --reinstall /mnt/blkmirror_*.deb >/dev/null || exit 1',
  );
  console.log(`upgraded: a pause of ${pause.toFixed(1)} s`);
  expect(await property(alpha, 'r0', 'Role')).toBe('Primary');
});

step('a peer has become Primary meanwhile: requests fail, and nothing is written on', async () => {
  const { alpha, beta } = pair();
  await inSync(beta, 'r0');
  await alpha.runOk('systemctl stop blkmirrord; test -e /sys/block/nbd0/pid');
  await callOk(beta, 'Promote');
  await beta.runOk('dd if=/dev/urandom of=/dev/blkmirror/r0 bs=1M seek=60 count=1 oflag=direct');
  await alpha.runOk('systemctl start blkmirrord');
  const gone = 'test ! -e /run/blkmirror/udev/nbd0.env && echo gone';
  const probe = async (): Promise<true | undefined> =>
    (await alpha.run(gone)).stdout.includes('gone') ? true : undefined;
  await eventually('the device to be given up', probe, 120_000);
  expect((await alpha.run('sync -f /data; touch /data/x && sync -f /data')).status).not.toBe(0);
  await alpha.runOk('umount /data || umount -l /data');
  await inSync(alpha, 'r0');
  expect(await property(alpha, 'r0', 'Role')).toBe('Secondary');
  expect(await alpha.runOk('journalctl -u blkmirrord -o cat')).toContain(
    'does not go on as Primary',
  );
  await callOk(beta, 'Demote');
});

step('partitions, and what is trimmed reads zeroes', async () => {
  const { alpha } = pair();
  await callOk(alpha, 'Promote');
  await alpha.runOk('blkdiscard -f /dev/nbd0; cmp -n 8388608 /dev/nbd0 /dev/zero');
  await alpha.runOk('printf "label: gpt\\nsize=40MiB\\n\\n" | sfdisk -q /dev/nbd0; udevadm settle');
  await alpha.runOk('mkfs.ext4 -q /dev/blkmirror/r0-part1; mount /dev/blkmirror/r0-part1 /data');
  expect((await call(alpha, 'Demote')).stderr).toContain('/dev/nbd0p1 is mounted on /data');
  await alpha.runOk('umount /data');
  await callOk(alpha, 'Demote');
  expect((await alpha.run('ls /dev/blkmirror')).stdout).not.toContain('r0');
});

step(
  'a stop ends a device that nobody uses; the module unloads, and a start loads it',
  async () => {
    const { alpha } = pair();
    await callOk(alpha, 'Promote');
    await alpha.runOk(
      'systemctl stop blkmirrord && modprobe -r nbd && ! grep -q "^nbd " /proc/modules',
    );
    await alpha.runOk('systemctl start blkmirrord');
    await callOk(alpha, 'Promote');
    await alpha.runOk('cmp -n 512 /dev/nbd0 /dev/blkmirror/r0');
  },
);
