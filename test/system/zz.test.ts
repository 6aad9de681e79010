import { NbdClient } from '../support/nbdClient';
import { Cluster } from '../support/systemCluster';
test('x', async () => {
  const cluster = await Cluster.inSync();
  const { first, second } = cluster;
  const out: string[] = [];
  const log = async (w: string) => {
    for (const n of cluster.nodes) {
      if (!n.isRunning) continue;
      const s = await n.status().catch(() => undefined);
      out.push(w + ' ' + n.name + ' ' + JSON.stringify(s));
    }
  };
  await log('sync');
  await second.kill9();
  const c = await NbdClient.open(first.socket());
  await c.write(0, Buffer.alloc(4096, 1));
  await c.write(8 << 20, Buffer.alloc(4096, 1));
  await log('written');
  await second.start();
  for (let i = 0; i < 25; i++) {
    await log('t' + i);
    await new Promise((r) => setTimeout(r, 20));
  }
  console.log(out.join('\n'), '\nALPHA', first.log(), '\nBETA', second.log());
  await cluster.expectIdentical().finally(() => cluster.remove());
}, 30000);
