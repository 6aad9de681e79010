/**
 * A node was given a disk that does not fit the other's: of another size, or with other blocks.
 * Both nodes refuse the connection and say why, until the administrator puts in the right one.
 */
import type { Machine } from './machine';
import type { Story } from './story';
import { Violation } from './violation';

export const MISFITS = ['size', 'blocks'] as const;
export type Misfit = (typeof MISFITS)[number];

const DISK = '/misfit';
const WAIT_US = 20_000_000;
const REASONS: Readonly<Record<Misfit, RegExp>> = {
  size: /bytes/,
  blocks: /blocks/,
};

/** The machine is down before and afterwards, without metadata; the other is up. */
export function meetMisfit(story: Story, other: Machine, machine: Machine, misfit: Misfit): void {
  const { cluster } = story;
  const { diskBytes, blockBytes } = cluster.plan;
  const blocks = blockBytes === 512 ? 4096 : 512;
  story.say(`${machine.name} has a disk whose ${misfit} does not fit`);
  if (misfit === 'size') machine.node.addDisk(DISK, 2 * diskBytes, blockBytes);
  else machine.node.addDisk(DISK, diskBytes, blocks);
  const { config, place } = machine;
  const nodes = config.nodes.map((node) => (node === place ? { ...node, disk: DISK } : node));
  machine.config = { ...config, nodes };
  cluster.finish(machine.create(false), 'create-md on a disk that does not fit');
  cluster.finish(machine.start(), 'up with a disk that does not fit');
  const both = [machine.peer.bind(machine, other), other.peer.bind(other, machine)];
  const refused = (): boolean =>
    both.every(
      (look) => look().connectionState === 'StandAlone' && REASONS[misfit].test(look().reason),
    );
  if (!cluster.until(refused, WAIT_US)) {
    const said = both.map((look) => look().reason).join('; ');
    throw new Violation(`a disk whose ${misfit} does not fit is not refused: ${said}`);
  }
  cluster.finish(machine.down(), 'down with a disk that does not fit');
  machine.config = config;
  const options = { discardMyData: false };
  cluster.finish(
    other.command('connect', () => other.resource.connect(options)),
    'connect',
  );
}
