// A cluster of both guests by corosync and pacemaker: packaging/pacemaker/example.crmsh as the
// package installs it, a service on its file system, and fencing by the driver: an agent in the
// guests asks it to switch a guest off, over a port that no network cut reaches.

import type { Guest } from './guest';
import { nodeStart } from './pace';
import type { GuestPair } from './pair';

const EXAMPLE = '/usr/share/doc/blkmirror/examples/example.crmsh';
const MERGED = '/run/cluster.crmsh';
const LOAD_DEADLINE_MS = 600_000;

/**
 * A guest that is slow by emulation may say nothing for seconds, and must not be fenced for that:
 * corosync waits for it as long as node needs to start a few times there, within these limits (the
 * lower is corosync's own default), in seconds.
 */
const TOKEN_NODE_STARTS = 3;
const TOKEN_LEAST_S = 3;
const TOKEN_MOST_S = 10;

const corosyncConf = (tokenMs: number): string => `totem {
  version: 2
  cluster_name: blkmirror
  token: ${tokenMs}
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

/** What a cluster has besides the example. Emulation is load, which is not to slow recovery. */
const CLUSTER = `property stonith-enabled=true stonith-timeout=120s load-threshold=1000%
op_defaults timeout=180s
primitive fence stonith:fence_driver
primitive p_writer systemd:writer`;

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

/** Goes on after the last whole line; says each line, a number and who wrote it, once on disk. */
const WRITER = `#!/usr/bin/perl
use Fcntl ":flock";
use IO::Handle;
use constant LINE_BYTES => 15;
my $host = (split /\\s/, do { open(my $f, "<", "/etc/hostname"); <$f> })[0];
open(my $lock, ">", "/run/guest-tell.lock") or die;
open(my $f, "+>>", "/data/lines") or die;
my $n = int((-s $f) / LINE_BYTES);
truncate($f, $n * LINE_BYTES) or die;
for (;;) {
  printf $f "%08d %-5s\\n", ++$n, $host; $f->flush; $f->sync or die;
  flock($lock, LOCK_EX);
  open(my $driver, "+<", "/dev/virtio-ports/blkmirror.tell") or die;
  syswrite($driver, "line $n $host\\n") or die;
  readline $driver;
  close $driver;
  flock($lock, LOCK_UN);
}`;
const WRITER_UNIT = '[Service]\nExecStart=/usr/local/sbin/writer';

/** What the programs in the guests told the driver, which fences as they ask. */
export class Driver {
  /** Who was fenced, in this order. */
  readonly fenced: string[] = [];
  /** When the last one was, as Date.now(). */
  fencedAt = 0;
  /** Line n was written by told[n - 1], or unsaid by a writer that had ended. */
  readonly told: (string | undefined)[] = [];
  /** Lines that were told by one and again by another: the other did not have them. */
  readonly toldAgain: string[] = [];
  /** Since the last call of `forget`, by name. */
  private readonly toldBy = new Set<string>();
  private falling: Guest | undefined;

  constructor(private readonly pair: GuestPair) {
    for (const guest of pair.both) guest.onTold = (line) => this.answer(guest, line);
  }

  forget(): void {
    this.toldBy.clear();
  }

  hasToldSince(guest: Guest): boolean {
    return this.toldBy.has(guest.name);
  }

  private async answer(from: Guest, line: string): Promise<string> {
    const [word, value = '', host = ''] = line.split(' ');
    if (word === 'line') this.hear(Number(value), host);
    return word === 'fence' ? this.fence(from, value) : 'heard';
  }

  private hear(number: number, host: string): void {
    const before = this.told[number - 1];
    if (before !== undefined) this.toldAgain.push(`${number}: ${before}, then ${host}`);
    this.told[number - 1] = host;
    this.toldBy.add(host);
  }

  /** Of two that fence each other the first to ask lives. */
  private async fence(from: Guest, name: string): Promise<string> {
    const victim = this.pair.both.find((guest) => guest.name === name);
    if (victim === undefined || from === this.falling) return 'refused';
    this.falling = victim;
    this.fenced.push(name);
    this.fencedAt = Date.now();
    await victim.powerOff();
    this.falling = undefined;
    return 'off';
  }
}

/** How long corosync waits for a node that says nothing, before it takes it for lost, in ms. */
async function corosyncToken(pair: GuestPair): Promise<number> {
  const slowest = Math.max(await nodeStart(pair.alpha), await nodeStart(pair.beta));
  const seconds = Math.min(TOKEN_MOST_S, Math.max(TOKEN_LEAST_S, TOKEN_NODE_STARTS * slowest));
  return Math.round(seconds * 1000);
}

/** Starts the cluster on both, and loads the example. Answers the token of corosync, in ms. */
export async function startCluster(pair: GuestPair): Promise<number> {
  const token = await corosyncToken(pair);
  await pair.onBoth(`mkdir -p /data
sed -i -e 's/^; fencing = .*/fencing = resource-and-stonith/' \\
  -e 's/^; \\(fence-peer\\|unfence-peer\\) = /\\1 = /' /etc/blkmirror/blkmirror.conf
cat >/etc/corosync/corosync.conf <<'END'
${corosyncConf(token)}
END
cat >/usr/sbin/fence_driver <<'END'
${FENCE_AGENT}
END
cat >/usr/local/sbin/writer <<'END'
${WRITER}
END
echo '${WRITER_UNIT}' >/etc/systemd/system/writer.service
chmod 755 /usr/sbin/fence_driver /usr/local/sbin/writer
systemctl daemon-reload
systemctl start corosync pacemaker`);
  await pair.alpha.runOk(
    `until crm_mon --one-shot | grep 'Online: \\[ alpha beta '; do sleep 2; done
sed 's/^group g_r0 p_fs$/& p_writer/' ${EXAMPLE} | cat - /dev/fd/3 3<<'END' >${MERGED} &&
${CLUSTER}
END
crm configure load update ${MERGED}`,
    { deadlineMs: LOAD_DEADLINE_MS },
  );
  return token;
}
