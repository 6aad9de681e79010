/**
 * This node's copy of a resource, found by the configuration alone: what every command that works
 * on metadata without the service begins with.
 */
import { getNode } from '../config/across';
import { getResource } from '../config/load';
import type { NodeConfig, ResourceConfig } from '../config/types';
import { checkDiskPath } from './diskChecks';

export interface CopyRequest {
  readonly configDir: string;
  readonly resource: string;
  /** The name of this node, or a host name that begins with it. */
  readonly nodeName: string;
}

export interface OwnCopy {
  readonly config: ResourceConfig;
  readonly node: NodeConfig;
  /** The path of the disk that holds the metadata. */
  readonly place: string;
}

/** @throws NotFound, InvalidArgs (configuration), NotAttached (no disk) */
export function findOwnCopy(request: CopyRequest): OwnCopy {
  const config = getResource(request.configDir, request.resource);
  const node = getNode(config, request.nodeName);
  checkDiskPath(node.disk, 'disk');
  const internal = node.metaDisk === 'internal';
  if (!internal) checkDiskPath(node.metaDisk, 'meta-disk');
  return { config, node, place: internal ? node.disk : node.metaDisk };
}
