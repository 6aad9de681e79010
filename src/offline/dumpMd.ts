/**
 * `dump-md`: this copy's metadata as text. Needs no daemon; refused while attached, unless forced,
 * and then the dump says so. Called by the command line.
 */
import { MirrorError } from '../model/errors';
import type { MetadataDump, MetadataTools } from '../plane/metadataTools';
import { findOwnCopy } from './ownCopy';
import type { CopyRequest, OwnCopy } from './ownCopy';

export interface DumpMdRequest extends CopyRequest {
  /** Also while attached. */
  readonly force: boolean;
}

/** @throws NotFound, InvalidArgs, DeviceInUse (attached), NotAttached (none, damaged) */
export async function dumpMd(
  request: DumpMdRequest,
  tools: MetadataTools,
): Promise<{ readonly copy: OwnCopy; readonly dump: MetadataDump }> {
  const copy = findOwnCopy(request);
  const { name } = copy.config;
  const { disk, metaDisk } = copy.node;
  try {
    return { copy, dump: await tools.dumpMetadata(name, disk, metaDisk, request.force) };
  } catch (error) {
    if (!(error instanceof MirrorError) || error.code !== 'DeviceInUse') throw error;
    const message = `${error.message}; run down ${name} first, or add --force for a dump that may \
be half-way through a change`;
    throw new MirrorError('DeviceInUse', message, { cause: error });
  }
}
