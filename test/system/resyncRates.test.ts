// c-max-rate holds the rate of a resync between two real daemons, status shows it, and a reload
// changes it while the resync runs.

import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';

jest.setTimeout(120_000);

const DISK_BYTES = 65 * MIB;
let cluster: Cluster;

afterEach(() => cluster.remove());

/** Copied so far, in percent, and the rate in bytes a second that the target shows. */
async function progress(): Promise<{ percent: number; rate: number }> {
  const { resyncDonePercent, resyncBytesPerSecond } = await cluster.second.peer('alpha');
  return { percent: resyncDonePercent ?? 0, rate: resyncBytesPerSecond };
}

test('a resync of 64 MiB at c-max-rate = 16M takes its four seconds', async () => {
  const options = '[disk]\nc-max-rate = 16M\n';
  cluster = await Cluster.up({ options, tmpfs: true, diskBytes: DISK_BYTES });
  const begunAt = performance.now();
  await cluster.first.call('r0', 'Promote', { force: true });
  const rates: number[] = [];
  await until('most is copied', async () => {
    const { percent, rate } = await progress();
    if (percent > 40 && percent < 100) rates.push(rate);
    return percent > 80;
  });
  await cluster.untilInSync();
  const tookMs = performance.now() - begunAt;
  expect(tookMs).toBeGreaterThan(3500);
  expect(tookMs).toBeLessThan(30_000);
  expect(Math.max(...rates)).toBeGreaterThan(2 * MIB);
  expect(Math.max(...rates)).toBeLessThan(20 * MIB);
  await cluster.expectIdentical();
});

test('a reload lifts the ceiling of a resync that runs', async () => {
  const options = '[disk]\nc-max-rate = 250\n';
  cluster = await Cluster.up({ options, tmpfs: true, diskBytes: DISK_BYTES });
  const { first, second } = cluster;
  await first.call('r0', 'Promote', { force: true });
  await until('some of it is copied', async () => (await progress()).percent > 1);
  // The rest would take four minutes.
  expect((await progress()).percent).toBeLessThan(50);
  second.writeConfig('r0', cluster.configText(second, 'r0', '[disk]\nc-max-rate = 0\n'));
  second.reload();
  await cluster.untilInSync();
  await cluster.expectIdentical();
});
