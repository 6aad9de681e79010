/**
 * `resize`: this node's copy takes what its disk has room for since it grew. Needs no daemon; the
 * claim keeps it off a copy that is attached. Called by the command line.
 */
import { MirrorError } from '../model/errors';
import type { GrowthReport, MetadataTools } from '../plane/metadataTools';
import { lastPlace } from './lastPlace';
import { findOwnCopy } from './ownCopy';
import type { CopyRequest, OwnCopy } from './ownCopy';

export interface ResizeRequest extends CopyRequest {
  /** Of the service: where it noted the metadata's last place. */
  readonly stateDir: string;
  /** As written: bytes, or with K, M, G or T; undefined: all that there is room for. */
  readonly size: string | undefined;
}

export interface ResizeResult {
  readonly copy: OwnCopy;
  readonly report: GrowthReport;
}

/** @throws NotFound, InvalidArgs, DeviceInUse (attached), NotAttached (no room, damaged) */
export async function resizeCopy(
  request: ResizeRequest,
  tools: MetadataTools,
): Promise<ResizeResult> {
  const copy = findOwnCopy(request);
  const deviceBytes = request.size === undefined ? 0n : parseSize(request.size);
  const report = await grow(copy, lastPlace(request.stateDir, copy), deviceBytes, tools);
  return { copy, report };
}

async function grow(
  { config, node }: OwnCopy,
  lastSuperblockOffset: bigint,
  deviceBytes: bigint,
  tools: MetadataTools,
): Promise<GrowthReport> {
  const { disk, metaDisk } = node;
  const copy = { resource: config.name, node: node.name, disk, metaDisk };
  try {
    return await tools.growCopy({ ...copy, lastSuperblockOffset, deviceBytes });
  } catch (error) {
    if (!(error instanceof MirrorError) || error.code !== 'DeviceInUse') throw error;
    const message = `${error.message}; a mirror is resized while it is down on every node: run \
down ${config.name} first`;
    throw new MirrorError('DeviceInUse', message, { cause: error });
  }
}

const UNITS = ['', 'K', 'M', 'G', 'T'];

/** @throws InvalidArgs */
export function parseSize(text: string): bigint {
  const parts = /^([1-9][0-9]{0,17})([KMGT]?)$/i.exec(text);
  if (parts === null) {
    const message = `--size ${text}: write a number of bytes, also with K, M, G or T such as 100G`;
    throw new MirrorError('InvalidArgs', message);
  }
  const power = UNITS.indexOf((parts[2] ?? '').toUpperCase());
  const bytes = BigInt(parts[1] ?? '') << BigInt(10 * power);
  if (bytes >> 50n === 0n) return bytes;
  throw new MirrorError('InvalidArgs', `--size ${text}: a mirror has less than 1 PiB`);
}
