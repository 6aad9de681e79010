// GlusterFS as a contender, where it is installed: a volume of two replicas, both bricks on this
// host, its client mounted by FUSE. All of it lives in namespaces of its own: its fixed ports, its
// mount and its files below /var and /run meet no other, and it dies with one process.

import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { until } from '../support/privateBus';
import { Background } from '../support/systemProcess';
import { fileWords } from './contender';
import type { Contender } from './contender';

const DEADLINE_MS = 60_000;
const NEEDED = ['glusterd', 'glusterfs', 'gluster'];
/** Of the loopback interface there; bricks at 127.0.0.1 are refused. */
const ADDRESS = '192.0.2.9';
/** A write is acknowledged when both bricks have it; what only serves files is not in the way. */
const OPTIONS = [
  'performance.write-behind off',
  'performance.io-cache off',
  'performance.read-ahead off',
  'performance.quick-read off',
  'performance.strict-o-direct on',
  'network.remote-dio disable',
];

const SCRIPT = `set -e
for folder in /run /var/log /var/lib/glusterd; do mount -t tmpfs tmpfs $folder; done
ip link set lo up
ip address add ${ADDRESS}/32 dev lo
glusterd
tries=0
until gluster --mode=script volume list; do
  tries=$((tries + 1))
  [ $tries -lt 100 ]
  sleep 0.1
done
gluster --mode=script volume create r0 replica 2 ${ADDRESS}:$1/first ${ADDRESS}:$1/second force
${OPTIONS.map((option) => `gluster --mode=script volume set r0 ${option}`).join('\n')}
gluster --mode=script volume start r0
mount -t glusterfs ${ADDRESS}:r0 $1/mount
exec 2>/dev/null
echo ready >$1/ready
exec sleep infinity
`;

/** Why it cannot take part; undefined where it can. */
export function whyNoGluster(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const isThere = (name: string): boolean =>
    folders.some((folder) => existsSync(join(folder, name)));
  if (!NEEDED.every(isThere)) return 'not installed';
  if (process.getuid?.() !== 0) return 'installed, needs root';
  return undefined;
}

export async function startGluster(folder: string): Promise<Contender> {
  for (const name of ['first', 'second', 'mount']) mkdirSync(join(folder, name));
  const log = join(folder, 'gluster.log');
  const spaces = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const script = ['bash', '-c', SCRIPT, 'gluster', folder];
  const server = Background.start('unshare', [...spaces, ...script], log);
  try {
    await until(
      'GlusterFS is mounted',
      () => {
        if (server.hasEnded) throw new Error(`GlusterFS: ${readFileSync(log, 'utf8')}`);
        return existsSync(join(folder, 'ready'));
      },
      DEADLINE_MS,
    );
  } catch (error) {
    await server.kill();
    throw error;
  }
  const [inside = 0] = childrenOf(server.pid);
  return {
    name: 'GlusterFS',
    settings: `replica 2, both bricks here, FUSE, O_DIRECT; ${OPTIONS.join(', ')}`,
    fioWords: fileWords(join(folder, 'mount', 'disk')),
    fioPrefix: ['nsenter', `--target=${inside}`, '--mount', '--net'],
    get pids() {
      return descendantsOf(server.pid);
    },
    close: () => server.kill(),
  };
}

function descendantsOf(pid: number): number[] {
  const children = childrenOf(pid);
  return [...children, ...children.flatMap(descendantsOf)];
}

function childrenOf(pid: number): number[] {
  const words = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ');
  return words.filter((word) => word !== '').map(Number);
}
