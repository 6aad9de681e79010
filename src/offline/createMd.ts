/**
 * `create-md`: writes fresh metadata for this node's copy of a resource. Needs no daemon and
 * no bus; the claim on the disk keeps it off a copy that is attached.
 *
 * Refused, unless forced, where metadata of our own or a signature that blkid knows is found,
 * on the disk and on a meta-disk of its own. Called by the command line.
 */
import { getNode } from '../config/across';
import type { NodeConfig, ResourceConfig } from '../config/types';
import { MAX_NODES } from '../config/limits';
import { MirrorError } from '../model/errors';
import type { MetadataTools } from '../plane/metadataTools';
import type { CreateMetadataSpec, Metadata, Plane } from '../plane/plane';
import { checkAdopted } from './adopt';
import { DEFAULT_MAX_PEERS } from './limits';
import { adoptedGeneration, dayZeroGeneration } from './newUuids';
import { findOwnCopy } from './ownCopy';
import type { CopyRequest } from './ownCopy';
import { findSignature } from './signatures';

/**
 * What is on the disks already: `nothing` that counts; data to `adopt`; or, on every node alike,
 * `equal` content, which is not compared; `zeroed` makes it so.
 */
export type InitialData = 'nothing' | 'adopt' | 'equal' | 'zeroed';

export interface CreateMdRequest extends CopyRequest {
  readonly force: boolean;
  /** undefined: room for {@link DEFAULT_MAX_PEERS}, or all configured if those are more. */
  readonly maxPeers: number | undefined;
  readonly initialData: InitialData;
}

export interface CreateMdResult {
  readonly node: NodeConfig;
  readonly maxPeers: number;
  readonly metadata: Metadata;
}

/** @throws NotFound, InvalidArgs (configuration, max-peers), DeviceInUse, NotAttached */
export async function createMd(
  request: CreateMdRequest,
  plane: Plane,
  tools: MetadataTools,
): Promise<CreateMdResult> {
  const { config, node } = findOwnCopy(request);
  const maxPeers = chooseMaxPeers(config, request.maxPeers);
  if (!request.force) await refuseWhatIsThere(node, request.initialData, plane);
  const spec: CreateMetadataSpec = {
    resource: config.name,
    node: node.name,
    disk: node.disk,
    metaDisk: node.metaDisk,
    maxPeers,
    force: request.force,
  };
  const initial = await planInitialData(request, config, spec, tools);
  const metadata = await plane.createMetadata({ ...spec, ...initial });
  return { node, maxPeers, metadata };
}

/** What goes into the spec besides. */
async function planInitialData(
  request: CreateMdRequest,
  config: ResourceConfig,
  spec: CreateMetadataSpec,
  tools: MetadataTools,
): Promise<Partial<CreateMetadataSpec>> {
  if (request.initialData === 'nothing') return {};
  const plan = await tools.planMetadata(spec);
  if (request.initialData === 'adopt') {
    const node = getNode(config, spec.node);
    const keepBytes = await checkAdopted(node, plan, request.force);
    return { ...adoptedGeneration(), upToDate: true, keepBytes };
  }
  const names = config.nodes.map((node) => node.name);
  return {
    ...dayZeroGeneration(config.name, names, plan.deviceBytes),
    upToDate: true,
    equals: names.filter((name) => name !== spec.node),
    zero: request.initialData === 'zeroed',
    keepBytes: plan.deviceBytes,
  };
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
async function refuseWhatIsThere(
  node: NodeConfig,
  initialData: InitialData,
  plane: Plane,
): Promise<void> {
  const present = await tryReadMetadata(plane, node.disk, node.metaDisk);
  if (present !== undefined) {
    const place = node.metaDisk === 'internal' ? node.disk : node.metaDisk;
    const message = `${place} already holds metadata of resource ${present.resource} (node \
${present.node}); to write it anew, after which everything is resynced, add --force`;
    throw new MirrorError('DeviceInUse', message);
  }
  const internal = node.metaDisk === 'internal';
  if (initialData !== 'adopt') {
    await refuseSignature(node.disk, internal || initialData === 'zeroed');
  }
  if (!internal) await refuseSignature(node.metaDisk, true);
}

async function refuseSignature(path: string, written: boolean): Promise<void> {
  const found = await findSignature(path);
  if (found === undefined) return;
  const harm = written ? 'metadata would overwrite a part of it' : 'the resync may overwrite it';
  const message = `${path} holds ${found}, and ${harm}; check the path, or add --force if that is \
what you want`;
  throw new MirrorError('DeviceInUse', message);
}
