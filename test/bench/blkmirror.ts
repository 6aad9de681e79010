// blkmirror as a contender: two daemons on this host, each a process and a bus of its own.

import { Cluster } from '../support/systemCluster';
import type { ClusterSpec } from '../support/systemCluster';
import { nbdWords } from './contender';
import type { Contender } from './contender';

export interface Mirror extends Contender {
  readonly cluster: Cluster;
}

/** In sync, the first node Primary. `diskBytes` includes the metadata. */
export async function startMirror(spec: ClusterSpec): Promise<Mirror> {
  const cluster = await Cluster.inSync(spec);
  return {
    name: 'blkmirror',
    settings: 'protocol C over TCP, default options, two processes',
    fioWords: nbdWords(cluster.first.socket(), 'r0'),
    get pids() {
      return cluster.nodes.filter((node) => node.isRunning).map((node) => node.pid);
    },
    cluster,
    close: () => cluster.remove(false),
  };
}
