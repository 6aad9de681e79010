// Several devices in one daemon, over one listening port.

import { randomBytes } from 'node:crypto';
import { NbdClient } from '../support/nbdClient';
import { Cluster, MIB } from '../support/systemCluster';
import { fioWriteAndVerify } from '../support/systemFio';

jest.setTimeout(180_000);

let cluster: Cluster;

afterEach(() => cluster.remove());

test('two devices mirror at the same time, in opposite directions', async () => {
  cluster = await Cluster.up({ resources: ['r0', 'r1'], diskBytes: 48 * MIB });
  const { first, second } = cluster;
  await first.must('promote', 'r0', '--force');
  await second.must('promote', 'r1', '--force');
  const sizeBytes = 32 * MIB;
  await Promise.all([
    fioWriteAndVerify({ node: first, resource: 'r0', sizeBytes }),
    fioWriteAndVerify({ node: second, resource: 'r1', sizeBytes }),
  ]);
  for (const resource of cluster.resources) {
    await cluster.untilInSync(resource);
    await cluster.expectIdentical(resource);
  }
});

test('20 resources are brought up, written, lost and brought back', async () => {
  const resources = Array.from({ length: 20 }, (_, i) => `vol-${i}.img`);
  cluster = await Cluster.inSync({ resources, diskBytes: 8 * MIB, tmpfs: true });
  const { first, second } = cluster;
  await second.kill9();
  const data = resources.map(() => randomBytes(64 * 1024));
  for (const [i, resource] of resources.entries()) {
    const client = await NbdClient.open(first.socket(resource), resource);
    await client.write(i * 4096, data[i] ?? Buffer.alloc(0));
    await client.close();
  }
  await second.start();
  for (const resource of resources) await cluster.untilInSync(resource);
  const shown = (await first.devices()).map((device) => device.name).sort();
  expect(shown).toEqual([...resources].sort());
  for (const resource of resources) await cluster.expectIdentical(resource);
  expect(await first.must('down', 'all')).toContain('vol-7.img is down');
  expect(JSON.parse(await first.must('status', '--json'))).toEqual([]);
});
