// pacemaker with packaging/pacemaker/example.crmsh, as the package installs it, and with fencing: a
// node in standby and one without power are taken over from, and come back. What fences is the
// driver: an agent in the guests asks it to switch a guest off.

import { eventually } from './support/deadline';
import type { Guest } from './support/guest';
import { configure, inSyncPrimary, property, rejoined } from './support/mirror';
import { guestPair } from './support/pair';

const EXAMPLE = '/usr/share/doc/blkmirror/examples/example.crmsh';
const AGENT = '/usr/lib/ocf/resource.d/blkmirror/mirror';
/** The constraint of crm-fence-peer, and the exit status where there is none. */
const CONSTRAINT =
  'cibadmin --query --xpath "//rsc_location[@id=\'blkmirror-fence-by-handler-r0\']"';
const NONE_STATUS = 105;
/** A minute or two are expected: pacemaker starts many programs, and each takes its time here. */
const TAKEOVER_DEADLINE_MS = 600_000;
const STEP_DEADLINE_MS = 1_200_000;
const LEAST_LINES = 5;

/** A guest answers late: the token must not be given up for that. */
const COROSYNC = `totem {
  version: 2
  cluster_name: blkmirror
  token: 10000
}
nodelist {
  node {
    name: alpha
    nodeid: 1
    ring0_addr: 192.0.2.1
  }
  node {
    name: beta
    nodeid: 2
    ring0_addr: 192.0.2.2
  }
}
quorum {
  provider: corosync_votequorum
  two_node: 1
}
logging {
  to_syslog: yes
}`;

/** What a cluster has besides the example. */
const CLUSTER = `property stonith-enabled=true stonith-timeout=120s
op_defaults timeout=180s
primitive fence stonith:fence_driver`;

const FENCE_AGENT = `#!/bin/bash
while IFS='=' read -r name value; do
    case $name in
        action) action=$value ;;
        port) node=$value ;;
    esac
done
case $action in
    metadata)
        cat <<'XML'
<?xml version="1.0"?>
<resource-agent name="fence_driver" shortdesc="the driver switches guests off">
<longdesc>The driver switches guests off.</longdesc>
<parameters>
<parameter name="action" required="1"><content type="string" default="off"/></parameter>
<parameter name="port" required="0"><content type="string"/></parameter>
</parameters>
<actions>
<action name="off"/><action name="reboot"/><action name="monitor"/><action name="list"/>
<action name="metadata"/>
</actions>
</resource-agent>
XML
        ;;
    list) printf 'alpha\\nbeta\\n' ;;
    off | reboot) [ "$(guest-tell fence "$node")" = off ] ;;
esac`;

/** Says each line that is on the disk. */
const WRITER = `perl -MIO::Handle -e '
  open(my $f, ">", "/data/lines") or die;
  for (my $n = 1; ; $n++) {
    printf $f "%08d\\n", $n; $f->flush; $f->sync or die;
    system("guest-tell", "line", $n);
  }'`;

const { pair, step } = guestPair('pacemaker');
/** Who was fenced, in this order. */
const fenced: string[] = [];
/** What the writer said last. */
let lines = 0;

/** Answers `off` for a guest that is to be fenced, once it is. */
async function answer(text: string): Promise<string> {
  const [word, value = ''] = text.split(' ');
  if (word === 'line') lines = Number(value);
  if (word !== 'fence') return 'heard';
  fenced.push(value);
  await pair()
    .both.find(({ name }) => name === value)
    ?.powerOff();
  return 'off';
}

async function untilOk(guest: Guest, what: string, script: string): Promise<void> {
  await eventually(
    `${what}, asked on ${guest.name}`,
    async () => ((await guest.run(script)).status === 0 ? true : undefined),
    TAKEOVER_DEADLINE_MS,
    2000,
  );
}

async function serves(guest: Guest): Promise<void> {
  await untilOk(guest, '/data to be mounted', 'findmnt /data');
  expect(await property(guest, 'r0', 'Role')).toBe('Primary');
}

/** As Secondary and in sync; and nothing of a fencing is left. */
async function isBack(guest: Guest, other: Guest): Promise<void> {
  const shown = `crm_mon --one-shot | grep 'Unpromoted: \\[ ${guest.name} '`;
  await untilOk(other, `${guest.name} to be Secondary`, shown);
  await rejoined(guest, other, 'r0');
  expect(await property(guest, 'r0', 'Role')).toBe('Secondary');
  await eventually('the constraint to be gone', async () =>
    (await other.run(CONSTRAINT)).status === NONE_STATUS ? true : undefined,
  );
}

/** Where the file system is, and the other one. */
async function holder(): Promise<[Guest, Guest]> {
  const { alpha, beta } = pair();
  return (await alpha.run('findmnt /data')).status === 0 ? [alpha, beta] : [beta, alpha];
}

step(
  'ocf-tester passes on the agent',
  async () => {
    const { alpha } = pair();
    for (const guest of pair().both) guest.onTold = answer;
    await configure(pair(), 'r0');
    await inSyncPrimary(pair(), 'r0');
    await alpha.runOk('mkfs.ext4 -q /dev/blkmirror/r0');
    // pacemaker starts the resource, and no unit does it for pacemaker.
    const alone = 'systemctl enable blkmirrord && systemctl disable --now blkmirror@r0';
    await alpha.runOk(alone);
    const said = await alpha.runOk(`ocf-tester -n p_r0 -o resource=r0 ${AGENT}`, {
      deadlineMs: TAKEOVER_DEADLINE_MS,
    });
    expect(said).toContain('passed all tests');
    await pair().beta.runOk(alone);
  },
  STEP_DEADLINE_MS,
);

step(
  'the example is loaded, and one node is promoted and mounts',
  async () => {
    const { alpha } = pair();
    await pair().onBoth(`mkdir -p /data
sed -i -e 's/^; fencing = .*/fencing = resource-and-stonith/' \\
  -e 's/^; \\(fence-peer\\|unfence-peer\\) = /\\1 = /' /etc/blkmirror/blkmirror.conf
cat >/etc/corosync/corosync.conf <<'END'
${COROSYNC}
END
cat >/usr/sbin/fence_driver <<'END'
${FENCE_AGENT}
END
chmod 755 /usr/sbin/fence_driver
systemctl start corosync pacemaker`);
    const online = "crm_mon --one-shot | grep 'Online: \\[ alpha beta '";
    await untilOk(alpha, 'both nodes to be online', online);
    const merged = '/run/cluster.crmsh';
    const load = `cat - ${EXAMPLE} >${merged} && crm configure load update ${merged}`;
    await alpha.runOk(`(${load}) <<'END'\n${CLUSTER}\nEND`, { deadlineMs: TAKEOVER_DEADLINE_MS });
    const started = "crm_mon --one-shot | grep 'p_fs.*Started'";
    await untilOk(alpha, 'the file system to be started', started);
    const [primary, secondary] = await holder();
    await serves(primary);
    await isBack(secondary, primary);
    await primary.runOk('echo one >/data/file && sync /data/file');
  },
  STEP_DEADLINE_MS,
);

step(
  'a node in standby is taken over from, and comes back',
  async () => {
    const [from, to] = await holder();
    await from.runOk(`crm_standby --node ${from.name} --update on`);
    await serves(to);
    expect(await to.runOk('cat /data/file')).toBe('one');
    await to.runOk(`crm_standby --node ${from.name} --delete`);
    await isBack(from, to);
    expect(fenced).toEqual([]);
  },
  STEP_DEADLINE_MS,
);

let lost: Guest;
let left: Guest;

step(
  'after power-off the other node fences, is promoted and has what was written',
  async () => {
    [lost, left] = await holder();
    const writer = `nohup setsid bash -c '${WRITER.replaceAll("'", "'\\''")}' >/dev/null 2>&1 &`;
    await lost.runOk(writer);
    await eventually('lines', async () => (lines >= LEAST_LINES ? true : undefined));
    await lost.powerOff();
    const told = lines;
    await serves(left);
    expect(fenced).toEqual([lost.name]);
    const found = (await left.runOk('cat /data/lines')).split('\n').map(Number);
    expect(found.slice(0, told)).toEqual(Array.from({ length: told }, (_, index) => index + 1));
    expect(await left.runOk(CONSTRAINT)).toContain(`value="${left.name}"`);
    await left.runOk('echo two >/data/file && sync /data/file');
  },
  STEP_DEADLINE_MS,
);

step(
  'the failed node comes back as Secondary and resyncs, and is no longer fenced',
  async () => {
    await lost.powerOn();
    await lost.runOk('systemctl start corosync pacemaker');
    await isBack(lost, left);
    expect(await left.runOk('cat /data/file')).toBe('two');
    expect(fenced).toEqual([lost.name]);
  },
  STEP_DEADLINE_MS,
);
