// A file system on a mirror whose both nodes are on one host, on loop devices, over loopback, while
// memory is short: the original deadlocked so. Writing back what is dirty needs the mirror, and the
// mirror needs memory for its own disks and connections.

import { readContext } from './support/context';
import { eventually } from './support/deadline';
import { inSync } from './support/mirror';
import { guestPair } from './support/pair';

const SECONDS = readContext().full ? 600 : 30;
const SETUP_DEADLINE_MS = 300_000;
/** Without an end of the load for so long after it should have ended, nothing moves any more. */
const LATE_MS = 300_000;

/** The second service has a bus of its own: a bus name has one owner. */
const SECOND_BUS = 'unix:path=/run/second-bus';
const CONFIGURATION = `[node "alpha"]
address = 127.0.0.1:7788
disk = /dev/loop0
[node "beta"]
address = 127.0.0.1:7789
disk = /dev/loop1
`;
/** Keeps all but 40 MB of the memory in use; the first to be killed where that is too much. */
const HOG = `$0 = "hog"; my @held;
while (1) {
  open(my $f, "<", "/proc/meminfo"); my ($left) = join("", <$f>) =~ /MemAvailable: *(\\d+)/;
  if ($left > 40000) { push @held, "x" x (4 << 20) } else { select(undef, undef, undef, 0.05) }
  substr($_, int(rand(4 << 20)), 1) = "y" for @held;
}`;

const { pair, step } = guestPair('memory');

step('one host with both nodes, each on a loop device', async () => {
  await pair().beta.powerOff();
  await pair().alpha.runOk(
    `set -e
for n in 0 1; do
  fallocate --length 160M /var/lib/mirror$n.img && losetup /dev/loop$n /var/lib/mirror$n.img
done
mkdir -p /etc/second/resources.d /data
tee /etc/blkmirror/resources.d/r0.conf /etc/second/resources.d/r0.conf >/dev/null <<'END'
${CONFIGURATION}
END
blkmirror create-md r0 && blkmirror --config-dir /etc/second --node beta create-md r0
dbus-daemon --session --fork --address=${SECOND_BUS}
systemd-run --quiet --unit second -p LimitMEMLOCK=infinity -p OOMScoreAdjust=-900 \\
  blkmirrord --config-dir /etc/second --run-dir /run/second --node beta --bus ${SECOND_BUS}
systemctl start blkmirrord
until [ -S /run/second-bus ] && busctl --address=${SECOND_BUS} status org.blkmirror.Mirror1
do sleep 1; done >/dev/null 2>&1
blkmirror --config-dir /etc/second --node beta --bus ${SECOND_BUS} up r0
blkmirror up r0 && blkmirror promote r0 --force`,
    { deadlineMs: SETUP_DEADLINE_MS },
  );
  const busctl = `busctl --address=${SECOND_BUS} get-property org.blkmirror.Mirror1`;
  const object = '/org/blkmirror/Mirror1/devices/r0 org.blkmirror.Mirror1.Device DiskState';
  await eventually(
    'the second copy to be UpToDate',
    async () =>
      (await pair().alpha.run(`${busctl} ${object}`)).stdout.includes('"UpToDate"')
        ? true
        : undefined,
    SETUP_DEADLINE_MS,
  );
  await inSync(pair().alpha, 'r0');
});

step(
  `a file system on it is written for ${SECONDS} s while memory is short: no deadlock`,
  async () => {
    const { alpha } = pair();
    await alpha.runOk('mkfs.ext4 -q /dev/blkmirror/r0 && mount /dev/blkmirror/r0 /data');
    const load = await alpha.runOk(
      `perl -e '${HOG}' >/dev/null 2>&1 & hog=$!
echo 1000 >/proc/$hog/oom_score_adj
fio --name=load --directory=/data --size=56m --numjobs=2 --rw=randwrite --bs=16k \\
  --ioengine=psync --fsync=128 --verify=crc32c --do_verify=0 --time_based --runtime=${SECONDS} \\
  --output=/tmp/load.out || { cat /tmp/load.out; exit 1; }
kill $hog 2>/dev/null
sync && umount /data || exit 1
echo pressed $(awk '/^(allocstall|pgsteal)/ { n += $2 } END { print n }' /proc/vmstat)`,
      { deadlineMs: SECONDS * 1000 + LATE_MS },
    );
    expect(Number(/pressed (\d+)/.exec(load)?.[1])).toBeGreaterThan(1000);
    const stuck = await alpha.run('journalctl -k -o cat | grep "blocked for more than"');
    expect(stuck.stdout).toBe('');
    expect(await alpha.runOk('systemctl show -P NRestarts blkmirrord second')).toBe('0\n\n0');
  },
  SECONDS * 1000 + 2 * LATE_MS,
);

step('the file system is clean and the copies are identical', async () => {
  const { alpha } = pair();
  await alpha.runOk('fsck.ext4 -fn /dev/blkmirror/r0');
  const bytes = await alpha.runOk(
    'busctl get-property org.blkmirror.Mirror1 /org/blkmirror/Mirror1/devices/r0 ' +
      'org.blkmirror.Mirror1.Device SizeBytes | cut -d" " -f2',
  );
  await alpha.runOk(
    `blkmirror demote r0 && cmp -n ${bytes} /var/lib/mirror0.img /var/lib/mirror1.img`,
    { deadlineMs: SETUP_DEADLINE_MS },
  );
});
