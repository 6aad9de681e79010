/**
 * `create-md`: writes fresh metadata for this node's copy of a resource. Needs no daemon and
 * no bus; the claim on the disk keeps it off a copy that is attached.
 *
 * Refused, unless forced, where metadata of our own or a signature that blkid knows is found,
 * on the disk and on a meta-disk of its own. Called by the command line.
 */
import { getNode } from '../config/across';
import { getResource } from '../config/load';
import type { NodeConfig, ResourceConfig } from '../config/types';
import { MAX_NODES } from '../config/limits';
import { MirrorError } from '../model/errors';
import type { Metadata, Plane } from '../plane/plane';
import { checkDiskPath } from './diskChecks';
import { DEFAULT_MAX_PEERS } from './limits';
import { findSignature } from './signatures';

export interface CreateMdRequest {
  readonly configDir: string;
  readonly resource: string;
  /** The name of this node, or a host name that begins with it. */
  readonly nodeName: string;
  readonly force: boolean;
  /** undefined: room for {@link DEFAULT_MAX_PEERS}, or all configured if those are more. */
  readonly maxPeers: number | undefined;
}

export interface CreateMdResult {
  readonly node: NodeConfig;
  readonly maxPeers: number;
  readonly metadata: Metadata;
}

/** @throws NotFound, InvalidArgs (configuration, max-peers), DeviceInUse, NotAttached */
export async function createMd(request: CreateMdRequest, plane: Plane): Promise<CreateMdResult> {
  const config = getResource(request.configDir, request.resource);
  const node = getNode(config, request.nodeName);
  const maxPeers = chooseMaxPeers(config, request.maxPeers);
  checkDiskPath(node.disk, 'disk');
  if (node.metaDisk !== 'internal') checkDiskPath(node.metaDisk, 'meta-disk');
  if (!request.force) await refuseWhatIsThere(node, plane);
  const metadata = await plane.createMetadata({
    resource: config.name,
    node: node.name,
    disk: node.disk,
    metaDisk: node.metaDisk,
    maxPeers,
    force: request.force,
  });
  return { node, maxPeers, metadata };
}

/** The metadata on a disk, undefined when there is none that can be read. */
export async function tryReadMetadata(
  plane: Plane,
  disk: string,
  metaDisk: string,
): Promise<Metadata | undefined> {
  try {
    return await plane.readMetadata(disk, metaDisk);
  } catch (error) {
    if (error instanceof MirrorError && error.code === 'NotAttached') return undefined;
    throw error;
  }
}

function chooseMaxPeers(config: ResourceConfig, wanted: number | undefined): number {
  const configured = config.nodes.length - 1;
  if (wanted === undefined) return Math.max(DEFAULT_MAX_PEERS, configured);
  if (wanted > MAX_NODES - 1) {
    throw new MirrorError(
      'InvalidArgs',
      `--max-peers ${wanted}: at most ${MAX_NODES - 1} are possible`,
    );
  }
  if (wanted >= configured) return wanted;
  const message = `--max-peers ${wanted}: resource ${config.name} has ${configured} peers; give at \
least ${configured}`;
  throw new MirrorError('InvalidArgs', message);
}

/** Our own metadata first: a mirrored disk holds the application's file system as well. */
async function refuseWhatIsThere(node: NodeConfig, plane: Plane): Promise<void> {
  const present = await tryReadMetadata(plane, node.disk, node.metaDisk);
  if (present !== undefined) {
    const place = node.metaDisk === 'internal' ? node.disk : node.metaDisk;
    const message = `${place} already holds metadata of resource ${present.resource} (node \
${present.node}); to write it anew, after which everything is resynced, add --force`;
    throw new MirrorError('DeviceInUse', message);
  }
  await refuseSignature(node.disk, node.metaDisk === 'internal');
  if (node.metaDisk !== 'internal') await refuseSignature(node.metaDisk, true);
}

async function refuseSignature(path: string, written: boolean): Promise<void> {
  const found = await findSignature(path);
  if (found === undefined) return;
  const harm = written ? 'metadata would overwrite a part of it' : 'the resync may overwrite it';
  const message = `${path} holds ${found}, and ${harm}; check the path, or add --force if that is \
what you want`;
  throw new MirrorError('DeviceInUse', message);
}
