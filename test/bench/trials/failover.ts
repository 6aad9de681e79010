// From kill -9 of the Primary's daemon to the first write the other node has served.

import { MirrorError } from '../../../src/model/errors';
import { NbdClient } from '../../support/nbdClient';
import { Cluster } from '../../support/systemCluster';
import type { SystemNode } from '../../support/systemNode';
import type { Finding } from '../findings';
import { median } from '../summary';

const ROUNDS = 5;
const BLOCK = Buffer.alloc(4096, 0x5a);
const DEADLINE_MS = 30_000;

export async function failover(): Promise<readonly Finding[]> {
  const cluster = await Cluster.inSync({ tmpfs: true });
  try {
    const pauses: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const [dies, takesOver] = round % 2 === 0 ? [0, 1] : [1, 0];
      pauses.push(await takeOver(cluster.node(dies), cluster.node(takesOver)));
      await cluster.node(dies).start();
      await cluster.untilInSync();
    }
    return [
      {
        title: 'failover: kill -9 of the Primary to the first write served, promotion included',
        measured: median(pauses),
        target: 300,
        sense: 'at most',
        unit: 'ms',
        detail: `rounds: ${pauses.map((ms) => ms.toFixed(0)).join(', ')}`,
      },
    ];
  } finally {
    await cluster.remove();
  }
}

async function takeOver(dies: SystemNode, takesOver: SystemNode): Promise<number> {
  const client = await NbdClient.open(dies.socket());
  await client.write(0, BLOCK);
  const start = performance.now();
  await dies.kill9();
  while (!(await tryPromote(takesOver))) {
    if (performance.now() - start > DEADLINE_MS) throw new Error('nobody takes over');
  }
  const next = await NbdClient.open(takesOver.socket());
  await next.write(0, BLOCK);
  const pause = performance.now() - start;
  await next.close();
  client.vanish();
  return pause;
}

/** No: it has not noticed yet that the other one is gone. */
async function tryPromote(node: SystemNode): Promise<boolean> {
  try {
    await node.call('r0', 'Promote');
    return true;
  } catch (error) {
    if (error instanceof MirrorError) return false;
    throw error;
  }
}
