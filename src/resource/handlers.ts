/**
 * Runs what the administrator has named for an event of this resource, with the environment
 * DRBD's handlers expect and the same under names of its own (README lists them).
 *
 * Whether a handler is configured is known here alone: whoever has an event asks for it by name.
 */
import { isIPv6 } from 'node:net';
import type { HandlerEnd, HandlerName } from '../model/handlers';
import type { NodeName } from '../model/states';
import type { NodeConfig } from '../config/types';
import type { Core } from './core';

export class Handlers {
  constructor(private readonly core: Core) {}

  has(name: HandlerName): boolean {
    return this.core.config.handlers[name] !== undefined;
  }

  /**
   * To its end, within its deadline; `peer` is whom it concerns, if anybody. undefined when none
   * is configured. How it ended is logged by who runs it; never rejects.
   */
  run(name: HandlerName, peer?: NodeName): Promise<HandlerEnd | undefined> {
    const { config, environment } = this.core;
    const command = config.handlers[name];
    if (command === undefined) return Promise.resolve(undefined);
    const variables = { BLKMIRROR_HANDLER: name, ...describeResource(this.core, peer) };
    const timeoutMs = config.handlerTimeoutMs;
    return environment.handlers.run({ name, resource: config.name, command, variables, timeoutMs });
  }
}

type Variables = Record<string, string>;

function describeResource(core: Core, peer: NodeName | undefined): Variables {
  const { config, node, gate } = core;
  const { role, diskState, peers } = gate.snapshot();
  const own = core.peerConfig(node);
  const upToDate = [...peers].filter(([, state]) => state.diskState === 'UpToDate');
  const current = upToDate.map(([name]) => name).concat(diskState === 'UpToDate' ? [node] : []);
  return {
    DRBD_RESOURCE: config.name,
    DRBD_CONF: config.file,
    DRBD_VOLUME: '0',
    DRBD_LL_DISK: own.disk,
    DRBD_MY_NODE_ID: String(nodeIdOf(core, node)),
    DRBD_MY_ADDRESS: own.host,
    DRBD_MY_AF: familyOf(own.host),
    DRBD_PEERS: [...peers.keys()].join(' '),
    UP_TO_DATE_NODES: maskOf(core, current),
    ...Object.fromEntries(config.nodes.map(({ name }, id) => [`DRBD_NODE_ID_${id}`, name])),
    BLKMIRROR_RESOURCE: config.name,
    BLKMIRROR_NODE: node,
    BLKMIRROR_ROLE: role,
    BLKMIRROR_DISK_STATE: diskState,
    ...(peer === undefined ? {} : describePeer(core, core.peerConfig(peer))),
  };
}

function describePeer(core: Core, peer: NodeConfig): Variables {
  const { connectionState, role, diskState } = core.gate.peer(peer.name);
  return {
    DRBD_PEER: peer.name,
    DRBD_PEER_NODE_ID: String(nodeIdOf(core, peer.name)),
    DRBD_PEER_ADDRESS: peer.host,
    DRBD_PEER_AF: familyOf(peer.host),
    DRBD_CSTATE: connectionState,
    BLKMIRROR_PEER: peer.name,
    BLKMIRROR_PEER_ADDRESS: peer.address,
    BLKMIRROR_PEER_ROLE: role,
    BLKMIRROR_PEER_DISK_STATE: diskState,
  };
}

/** The position among the sorted names: the same on every node. */
function nodeIdOf(core: Core, name: NodeName): number {
  return core.config.nodes.findIndex((node) => node.name === name);
}

function familyOf(host: string): string {
  return isIPv6(host) ? 'ipv6' : 'ipv4';
}

/** A bit for each node, by its number. */
function maskOf(core: Core, names: readonly NodeName[]): string {
  const mask = names.reduce((bits, name) => bits | (1n << BigInt(nodeIdOf(core, name))), 0n);
  return `0x${mask.toString(16).toUpperCase().padStart(8, '0')}`;
}
