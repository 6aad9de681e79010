/**
 * What of a new configuration may be taken over while the resource is up. Pure.
 */
import { MirrorError } from '../model/errors';
import type { NodeName } from '../model/states';
import type { NodeConfig, ResourceConfig } from '../config/types';

/**
 * The peers that are no longer there.
 * @throws InvalidArgs when something changed that needs down and up
 */
export function judgeReconfiguration(
  before: ResourceConfig,
  after: ResourceConfig,
  node: NodeName,
): NodeName[] {
  const changed = findFixed(before, after, node);
  if (changed !== undefined) {
    const message = `${changed} of ${before.name} cannot change while it is up: run down and up`;
    throw new MirrorError('InvalidArgs', message);
  }
  const names = after.nodes.map((other) => other.name);
  return before.nodes.map((other) => other.name).filter((name) => !names.includes(name));
}

function findFixed(
  before: ResourceConfig,
  after: ResourceConfig,
  node: NodeName,
): string | undefined {
  if (before.device !== after.device) return 'the device';
  if (before.protocol !== after.protocol) return 'the protocol';
  const own = findNode(before, node);
  const next = findNode(after, node);
  if (next === undefined) return `the section [node "${node}"]`;
  if (own?.disk !== next.disk) return 'the disk';
  if (own.metaDisk !== next.metaDisk) return 'the meta-disk';
  if (own.address !== next.address) return 'the address of this node';
  const added = after.nodes.find((other) => findNode(before, other.name) === undefined);
  return added === undefined ? undefined : `the set of nodes (${added.name} is new)`;
}

function findNode(config: ResourceConfig, name: NodeName): NodeConfig | undefined {
  return config.nodes.find((node) => node.name === name);
}
