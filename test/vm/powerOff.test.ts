// A file system on the mirror, mounted at boot by fstab as README.md shows: the Primary is switched
// off under load, the other node takes over, and the first comes back; then each node reboots.
// A database of sqlite and a file written with fsync tell what was acknowledged: the writers say it
// to the driver, outside of the guest, before they go on.

import { readContext } from './support/context';
import { eventually } from './support/deadline';
import type { Guest } from './support/guest';
import { configure, inSyncPrimary, property, rejoined } from './support/mirror';
import { guestPair } from './support/pair';

const FSTAB =
  '/dev/blkmirror/r0 /data ext4 _netdev,noauto,x-systemd.requires=blkmirror-promote@r0.service 0 2';
const ROUNDS = readContext().full ? 10 : 1;
const LEAST_ROWS = 5;

/** Commits one row after another, and says each that is committed. */
const SQLITE_WRITER = `rm -f /data/db*
sqlite3 /data/db 'pragma journal_mode=wal; create table t(n integer);' >/dev/null
n=0
while n=$((n + 1)); do
  sqlite3 /data/db "pragma synchronous=full; insert into t values($n);" && guest-tell row $n
done`;
/** The same with lines of a file. */
const FILE_WRITER = `perl -MIO::Handle -e '
  open(my $f, ">", "/data/lines") or die;
  for (my $n = 1; ; $n++) {
    printf $f "%08d\\n", $n; $f->flush; $f->sync or die;
    system("guest-tell", "line", $n);
  }'`;

const { pair, step } = guestPair('powerOff');
/** Of a file that is written before reboots. */
let sum = '';

/** What the writers of a guest said last. */
class Told {
  rows = 0;
  lines = 0;

  constructor(guest: Guest) {
    guest.onTold = async (text) => {
      const [word, number] = text.split(' ');
      if (word === 'row') this.rows = Number(number);
      if (word === 'line') this.lines = Number(number);
      return 'heard';
    };
  }
}

async function writeUntilSwitchedOff(guest: Guest): Promise<Told> {
  const told = new Told(guest);
  for (const writer of [SQLITE_WRITER, FILE_WRITER]) {
    await guest.runOk(
      `nohup setsid bash -c '${writer.replaceAll("'", "'\\''")}' >/dev/null 2>&1 &`,
    );
  }
  await eventually('rows and lines', async () =>
    Math.min(told.rows, told.lines) >= LEAST_ROWS ? true : undefined,
  );
  await guest.powerOff();
  return told;
}

async function takeOver(guest: Guest): Promise<void> {
  await guest.runOk('systemctl start /data', { deadlineMs: 300_000 });
}

async function checkWritten(guest: Guest, told: Told): Promise<void> {
  const check = 'pragma integrity_check; select count(*), max(n) from t;';
  const [integrity, counts = ''] = (await guest.runOk(`sqlite3 /data/db '${check}'`)).split('\n');
  const [count, last] = counts.split('|').map(Number);
  expect(integrity).toBe('ok');
  expect(last).toBeGreaterThanOrEqual(told.rows);
  expect(count).toBe(last);
  const lines = (await guest.runOk('cat /data/lines')).split('\n');
  expect(lines.length).toBeGreaterThanOrEqual(told.lines);
  lines.slice(0, told.lines).forEach((line, index) => expect(Number(line)).toBe(index + 1));
}

step('a file system is mounted by fstab on the promoted device', async () => {
  await configure(pair(), 'r0');
  await inSyncPrimary(pair(), 'r0');
  await pair().alpha.runOk('mkfs.ext4 -q /dev/blkmirror/r0 && blkmirror demote r0');
  await pair().onBoth(`mkdir -p /data; echo '${FSTAB}' >>/etc/fstab; systemctl daemon-reload`);
  // The first power-off may come before the guest writes by itself what was set up.
  await pair().onBoth('sync');
  await takeOver(pair().alpha);
  expect(await pair().alpha.runOk('findmnt --noheadings --output FSTYPE /data')).toBe('ext4');
});

step(
  `power-off of the Primary under load loses nothing acknowledged (${ROUNDS} times)`,
  async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const [from, to] = round % 2 === 0 ? pair().both : [pair().beta, pair().alpha];
      const told = await writeUntilSwitchedOff(from);
      await takeOver(to);
      await checkWritten(to, told);
      await from.powerOn();
      await rejoined(from, to, 'r0');
      expect(await property(from, 'r0', 'Role')).toBe('Secondary');
    }
  },
  1_800_000,
);

if (readContext().full) {
  step('a Primary that reboots demotes cleanly, and what was written is there', async () => {
    const from =
      (await pair().alpha.run('findmnt /data')).status === 0 ? pair().alpha : pair().beta;
    const to = from === pair().alpha ? pair().beta : pair().alpha;
    await from.runOk('head -c 4000000 /dev/urandom >/data/random && sync /data/random');
    sum = await from.runOk('sha256sum /data/random');
    await from.reboot();
    await takeOver(to);
    expect(await to.runOk('sha256sum /data/random')).toBe(sum);
    await to.runOk('systemctl stop /data && fsck.ext4 -fn /dev/blkmirror/r0');
    await rejoined(from, to, 'r0');
  });

  step(
    'after a reboot of both, everything is there again by itself, mounted by fstab',
    async () => {
      const { alpha, beta } = pair();
      await alpha.runOk("sed -i 's/,noauto//' /etc/fstab");
      await Promise.all([alpha.reboot(), beta.reboot()]);
      await eventually(
        '/data to be mounted',
        async () => ((await alpha.run('findmnt /data')).status === 0 ? true : undefined),
        300_000,
      );
      expect(await alpha.runOk('sha256sum /data/random')).toBe(sum);
      await rejoined(beta, alpha, 'r0');
    },
  );
}
