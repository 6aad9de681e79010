/**
 * What only several resources, or the file system, can tell: which node this is, and whether
 * two resources would use one disk.
 *
 * Of two resources that exclude each other the later one in the list is the wrong one, so
 * whoever calls puts those that are up first.
 */
import { realpathSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { MirrorError } from '../model/errors';
import { lineOf } from './lines';
import { formatProblem } from './problems';
import { sectionName } from './scanner';
import { listOf } from './schema';
import type { ConfigProblem, NodeConfig, ResourceConfig } from './types';

/**
 * The node of that name: the full host name, else its part before the first dot, else the only
 * one that is named by an IPv4 address of this machine.
 */
export function nodeFor(config: ResourceConfig, nodeName: string): NodeConfig | undefined {
  const short = nodeName.split('.', 1)[0];
  return (
    config.nodes.find((node) => node.name === nodeName) ??
    config.nodes.find((node) => node.name === short) ??
    namedByAddress(config)
  );
}

/** Whether an interface of this machine has the IPv4 address. */
export function isOwnAddress(host: string): boolean {
  if (!isIPv4(host)) return false;
  if (host.startsWith('127.')) return true;
  const interfaces = Object.values(networkInterfaces());
  return interfaces.some((list) => list?.some((one) => one.address === host) === true);
}

function namedByAddress(config: ResourceConfig): NodeConfig | undefined {
  const own = config.nodes.filter((node) => isOwnAddress(node.name));
  return own.length === 1 ? own[0] : undefined;
}

/** @throws InvalidArgs when the resource has no such node */
export function getNode(config: ResourceConfig, nodeName: string): NodeConfig {
  const node = nodeFor(config, nodeName);
  if (node !== undefined) return node;
  throw new MirrorError('InvalidArgs', formatProblem(missingNode(config, nodeName)));
}

/** Problems between `configs`, and those that have no section for this node. */
export function checkAcross(
  configs: readonly ResourceConfig[],
  nodeName: string,
): readonly ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const users = new Map<string, DiskUse>();
  for (const config of configs) {
    const node = nodeFor(config, nodeName);
    if (node === undefined) problems.push(missingNode(config, nodeName));
    else problems.push(...claimDisks(config, node, users));
  }
  return problems;
}

interface DiskUse {
  readonly config: ResourceConfig;
  readonly option: 'disk' | 'meta-disk';
}

function missingNode(config: ResourceConfig, nodeName: string): ConfigProblem {
  const names = config.nodes.map((node) => node.name);
  const message = `no [node "${nodeName}"] section, and that is this node's name; there are \
${listOf(names)}, so add one or start with --node NAME`;
  const last = Math.max(...names.map((name) => lineOf(config, sectionName('node', name), '')));
  return { file: config.file, line: last, message };
}

function claimDisks(
  config: ResourceConfig,
  node: NodeConfig,
  users: Map<string, DiskUse>,
): readonly ConfigProblem[] {
  const uses: (readonly [DiskUse['option'], string])[] = [['disk', node.disk]];
  if (node.metaDisk !== 'internal') uses.push(['meta-disk', node.metaDisk]);
  const problems: ConfigProblem[] = [];
  const section = sectionName('node', node.name);
  for (const [option, path] of uses) {
    const real = realPath(path);
    const user = users.get(real);
    if (user !== undefined) {
      const line = lineOf(config, section, option);
      problems.push({ file: config.file, line, message: usedTwice(path, real, user, config) });
    } else {
      users.set(real, { config, option });
    }
  }
  return problems;
}

function usedTwice(path: string, real: string, user: DiskUse, config: ResourceConfig): string {
  const shown = real === path ? path : `${path} (${real})`;
  const owner = user.config === config ? 'this resource' : `resource ${user.config.name}`;
  return `${shown} is the ${user.option} of ${owner} already; give each its own`;
}

/** The path itself where nothing is there yet. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
