// Two hosts' networks on one host: a namespace for each of two nodes, joined by a veth pair, and
// nftables rules in them that drop what arrives. Unlike with a forwarder, segments and their
// acknowledgements are lost. Needs root, iproute2 and nftables.

import { spawnSync } from 'node:child_process';
import type { Wrapper } from './systemNode';
import { runOk } from './systemProcess';

const ADDRESSES = ['10.83.0.1', '10.83.0.2'] as const;
const TABLE = 'inet blkmirror';
let made = 0;

/** Why there can be none here, or nothing. */
export function namespacesUnavailable(): string | undefined {
  const probe = spawnSync('unshare', ['--net', 'nft', 'add', 'table', 'inet', 'probe']);
  if (probe.error !== undefined) return probe.error.message;
  if (probe.status === 0) return undefined;
  return probe.stderr.toString().trim() || 'network namespaces or nftables are not permitted';
}

export class NetworkNamespaces {
  private readonly names: readonly string[];

  private constructor(nodes: readonly string[]) {
    const id = `${process.pid}-${++made}`;
    this.names = nodes.map((node) => `blkmirror-${id}-${node}`);
  }

  static async open(nodes: readonly string[]): Promise<NetworkNamespaces> {
    if (nodes.length !== 2) throw new Error('a veth pair joins two nodes');
    const network = new NetworkNamespaces(nodes);
    try {
      await network.make();
    } catch (error) {
      await network.close();
      throw error;
    }
    return network;
  }

  /** Of a node, by its place among the nodes. */
  address(index: number): string {
    return ADDRESSES[index] ?? '';
  }

  /** Words that, put before a command, run it on that node's network. */
  wrapper(index: number): Wrapper {
    return ['nsenter', `--net=/run/netns/${this.names[index] ?? ''}`];
  }

  /** Of what arrives at that node, so many of 100 packets are lost. */
  async lose(index: number, percent: number): Promise<void> {
    const which = percent === 100 ? '' : `numgen random mod 100 < ${percent} `;
    const rules = `add table ${TABLE}\ndelete table ${TABLE}\nadd table ${TABLE}
add chain ${TABLE} arriving { type filter hook input priority 0 ; }
add rule ${TABLE} arriving iifname "peer" ${which}counter drop\n`;
    await this.nft(index, rules);
  }

  /** How many packets have been lost at that node since lose(). */
  async lost(index: number): Promise<number> {
    const [command = '', ...words] = this.wrapper(index);
    const rules = await runOk(command, [...words, 'nft', 'list', 'ruleset']);
    return Number(/counter packets (\d+)/.exec(rules)?.[1] ?? 0);
  }

  async heal(): Promise<void> {
    for (const index of this.names.keys()) await this.nft(index, 'flush ruleset\n');
  }

  async close(): Promise<void> {
    for (const name of this.names) {
      await runOk('ip', ['netns', 'delete', name]).catch(() => undefined);
    }
  }

  private async make(): Promise<void> {
    const [one = '', other = ''] = this.names;
    for (const name of this.names) await runOk('ip', ['netns', 'add', name]);
    const peer = ['peer', 'name', 'peer', 'netns', other];
    await runOk('ip', ['-n', one, 'link', 'add', 'peer', 'type', 'veth', ...peer]);
    for (const [index, name] of this.names.entries()) {
      const address = `${this.address(index)}/24`;
      await runOk('ip', ['-n', name, 'address', 'add', address, 'dev', 'peer']);
      for (const link of ['lo', 'peer']) {
        await runOk('ip', ['-n', name, 'link', 'set', link, 'up']);
      }
    }
  }

  private async nft(index: number, rules: string): Promise<void> {
    const [command = '', ...words] = this.wrapper(index);
    await runOk(command, [...words, 'nft', '-f', '-'], { input: rules });
  }
}
