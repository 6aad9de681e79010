// Split brain with 0, 1 and 2 Primaries, by every policy: each behaviour on a resource of its own
// of one pair of nodes, so that all of them part and meet at once.

import { NbdClient } from '../support/nbdClient';
import { until } from '../support/privateBus';
import { Cluster, MIB } from '../support/systemCluster';
import type { SystemNode } from '../support/systemNode';

jest.setTimeout(180_000);

type Winner = 'alpha' | 'beta' | 'nobody';

interface Case {
  readonly options: string;
  /** Who is still Primary when they meet. */
  readonly primaries: readonly ('alpha' | 'beta')[];
  readonly winner: Winner;
}

const zero = (policy: string): string => `after-sb-0pri = ${policy}\n`;
const least = zero('discard-least-changes');

// Alpha was Primary when they parted and writes two blocks; beta is promoted and writes one.
const CASES: readonly Case[] = [
  { options: zero('disconnect'), primaries: [], winner: 'nobody' },
  { options: zero('discard-younger-primary'), primaries: [], winner: 'alpha' },
  { options: zero('discard-older-primary'), primaries: [], winner: 'beta' },
  { options: zero('discard-zero-changes'), primaries: [], winner: 'nobody' },
  { options: least, primaries: [], winner: 'alpha' },
  { options: zero('discard-node-alpha'), primaries: [], winner: 'beta' },
  { options: `${least}after-sb-1pri = disconnect\n`, primaries: ['alpha'], winner: 'nobody' },
  { options: `${least}after-sb-1pri = consensus\n`, primaries: ['alpha'], winner: 'alpha' },
  { options: `${least}after-sb-1pri = consensus\n`, primaries: ['beta'], winner: 'nobody' },
  { options: 'after-sb-1pri = discard-secondary\n', primaries: ['beta'], winner: 'beta' },
  { options: `${least}after-sb-1pri = violently-as0p\n`, primaries: ['beta'], winner: 'alpha' },
  {
    options: `${least}after-sb-1pri = call-pri-lost-after-sb\n`,
    primaries: ['beta'],
    winner: 'alpha',
  },
  {
    options: `${least}after-sb-2pri = disconnect\n`,
    primaries: ['alpha', 'beta'],
    winner: 'nobody',
  },
  {
    options: `${least}after-sb-2pri = violently-as0p\n`,
    primaries: ['alpha', 'beta'],
    winner: 'alpha',
  },
  {
    options: `${least}after-sb-2pri = call-pri-lost-after-sb\n`,
    primaries: ['alpha', 'beta'],
    winner: 'alpha',
  },
];

const names = CASES.map((_case, index) => `r${index}`);
let cluster: Cluster;

beforeAll(async () => {
  cluster = await Cluster.prepare({ resources: names, diskBytes: 16 * MIB, tmpfs: true });
  for (const node of cluster.nodes) {
    CASES.forEach(({ options }, index) => {
      const name = `r${index}`;
      node.writeConfig(name, cluster.configText(node, name, `[net]\n${options}`));
    });
    await node.start();
  }
  for (const name of names) {
    await cluster.bringUp(name);
    await cluster.first.call(name, 'Promote', { force: true });
  }
  for (const name of names) await cluster.untilInSync(name);
}, 180_000);

afterAll(() => cluster.remove());

async function write(node: SystemNode, resource: string, blocks: number): Promise<void> {
  const client = await NbdClient.open(node.socket(resource));
  await client.write(0, Buffer.alloc(blocks * 4096, node.name === 'alpha' ? 1 : 2));
  await client.close();
}

async function part(resource: string, primaries: Case['primaries']): Promise<void> {
  const { first, second } = cluster;
  await first.call(resource, 'Disconnect');
  await cluster.untilApart(resource);
  await second.call(resource, 'Promote');
  await write(first, resource, 2);
  await write(second, resource, 1);
  for (const node of cluster.nodes) {
    const stays = primaries.some((name) => name === node.name);
    if (!stays) {
      await until(`${resource} is not in use`, async () => {
        return node.call(resource, 'Demote').then(
          () => true,
          () => false,
        );
      });
    }
  }
  await first.call(resource, 'Connect');
  await second.call(resource, 'Connect');
}

/** Each node's log says what was given up, for whom and why. */
function expectTold(resource: string, lost: SystemNode, kept: SystemNode): void {
  const bytes = lost.name === 'alpha' ? 8192 : 4096;
  const words = `: ${lost.name} gives up what it wrote, at most ${bytes} bytes, and becomes a copy \
of ${kept.name}`;
  for (const node of cluster.nodes) {
    const lines = node
      .log()
      .split('\n')
      .filter((line) => line.includes('split brain settled'));
    const mine = lines.filter((line) => line.includes(`"resource":"${resource}"`));
    expect(mine.map((line) => line.includes(words))).toEqual([true]);
  }
}

test.each(CASES.map((one, index) => [names[index] ?? '', one] as const))(
  '0, 1 and 2 primaries by every policy: %s %j',
  async (resource, { primaries, winner }) => {
    const { first, second } = cluster;
    await part(resource, primaries);
    if (winner !== 'nobody') {
      await cluster.untilInSync(resource);
      await cluster.expectIdentical(resource);
      const kept = winner === 'alpha' ? first : second;
      const lost = winner === 'alpha' ? second : first;
      expect((await lost.status(resource)).role).toBe('Secondary');
      await kept.call(resource, 'Promote');
      const client = await NbdClient.open(kept.socket(resource));
      const data = await client.read(0, 4096);
      await client.close();
      expect([...new Set(data)]).toEqual([winner === 'alpha' ? 1 : 2]);
      expectTold(resource, lost, kept);
      return;
    }
    await until('both stand alone in split brain', async () => {
      const peers = [await first.peer('beta', resource), await second.peer('alpha', resource)];
      return peers.every(
        (peer) => peer.connectionState === 'StandAlone' && peer.splitBrain !== null,
      );
    });
    const { splitBrain } = await first.peer('beta', resource);
    expect(splitBrain).toMatchObject({
      local: { changedBytes: 8192, wasPrimary: 'whenParted' },
      peer: { changedBytes: 4096, wasPrimary: 'afterwards' },
      resyncBytes: 12_288,
    });
    expect(Math.abs((splitBrain?.partedMs ?? 0) - Date.now())).toBeLessThan(180_000);
  },
);
