/**
 * `create-md --adopt`: the data that is on a disk stays, and becomes the copy that others are
 * filled from. It must end before the metadata would begin. Called by createMd.ts.
 */
import type { NodeConfig } from '../config/types';
import { MirrorError } from '../model/errors';
import type { MetadataPlan } from '../plane/metadataTools';
import { tryContentEnd } from './contentSize';
import { findContent } from './signatures';

/**
 * How much of the disk must stay, in bytes.
 * @throws NotAttached (it does not fit), InvalidArgs (how much there is cannot be told, and not
 * `force`)
 */
export async function checkAdopted(
  node: NodeConfig,
  plan: MetadataPlan,
  force: boolean,
): Promise<bigint> {
  const { disk } = node;
  const found = await findContent(disk);
  const end = found === undefined ? undefined : tryContentEnd(disk, found.type);
  if (end === undefined) {
    if (force) return 0n;
    const what =
      found === undefined
        ? 'holds nothing that is known, so where its data ends cannot be told'
        : `holds ${found.words}, of which it cannot be told where it ends`;
    throw new MirrorError('InvalidArgs', `--adopt: ${disk} ${what}; ${otherwise(node, plan)}`);
  }
  if (end <= plan.deviceBytes) return end;
  const words = found?.words ?? 'data';
  const external = node.metaDisk !== 'internal';
  const message = external
    ? `${disk} holds ${words} that ends at ${end}, but has only ${plan.deviceBytes} bytes; give \
the disk back its size`
    : `${disk} holds ${words} that ends at ${end}, and metadata would begin at \
${plan.deviceBytes}; shrink it by at least ${end - plan.deviceBytes} bytes, make the disk larger \
by as much and a little more, or name a meta-disk of at least ${plan.metadataBytes} bytes`;
  throw new MirrorError('NotAttached', message);
}

function otherwise(node: NodeConfig, plan: MetadataPlan): string {
  if (node.metaDisk !== 'internal') return 'add --force if the whole disk is to be mirrored';
  return `make sure that it ends before ${plan.deviceBytes} and add --force, or name a meta-disk \
of at least ${plan.metadataBytes} bytes`;
}
