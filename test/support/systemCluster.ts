// Nodes on one host, each a real blkmirrord, with sparse files or loop devices as backing disks
// and with or without a network between them that a test can cut. Everything is below one
// scratch folder and is gone after remove(). BLKMIRROR_KEEP=1 keeps the folder, with the logs.

import { closeSync, mkdirSync, openSync, ftruncateSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { DeviceStatus } from '../../src/model/status';
import type { NetworkNamespaces } from './networkNamespaces';
import { until } from './privateBus';
import { Forwarder } from './systemForwarder';
import { SystemNode } from './systemNode';
import type { Wrapper } from './systemNode';
import { freePorts, run, runOk, scratchFolder } from './systemProcess';

export const MIB = 1024 * 1024;
const SYNC_DEADLINE_MS = 60_000;

export interface ClusterSpec {
  readonly nodes?: readonly string[];
  readonly resources?: readonly string[];
  /** Of the backing disk, metadata included. */
  readonly diskBytes?: number;
  /** Sections put into every resource's file, as text. */
  readonly options?: string;
  /** Put after `create-md RESOURCE`. */
  readonly createWords?: readonly string[];
  /** Disks in memory, for tests that are about something else. */
  readonly tmpfs?: boolean;
  /** Loop devices on top of the files. */
  readonly loop?: boolean;
  /** Their logical blocks, of each node or of all; 512 without it. */
  readonly loopBlockBytes?: number | readonly number[];
  /** Nodes reach each other only through forwarders, see link(). */
  readonly forwarded?: boolean;
  /** Words put before every daemon. */
  readonly wrapper?: Wrapper;
  /** Each node has a network of its own there, two nodes only. */
  readonly network?: NetworkNamespaces;
}

export class Cluster {
  readonly nodes: readonly SystemNode[];
  readonly resources: readonly string[];
  private readonly disks = new Map<string, string>();
  private readonly ports = new Map<string, number>();
  private readonly links = new Map<string, Forwarder>();
  private readonly cleanUps: (() => Promise<unknown>)[] = [];

  private constructor(
    readonly folder: string,
    private readonly spec: ClusterSpec,
  ) {
    const names = spec.nodes ?? ['alpha', 'beta'];
    this.resources = spec.resources ?? ['r0'];
    this.nodes = names.map((name, index) => {
      const wrapper = spec.network?.wrapper(index) ?? spec.wrapper;
      return new SystemNode(name, join(folder, name), wrapper);
    });
  }

  /** Disks and configurations are there, nothing runs. */
  static async prepare(spec: ClusterSpec = {}): Promise<Cluster> {
    const cluster = new Cluster(scratchFolder(spec.tmpfs), spec);
    try {
      await cluster.makeDisks();
      await cluster.makeNetwork();
      cluster.writeConfigs();
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** Daemons run, metadata is created, every resource is up; nothing is Primary. */
  static async up(spec: ClusterSpec = {}): Promise<Cluster> {
    const cluster = await Cluster.prepare(spec);
    try {
      await Promise.all(cluster.nodes.map((node) => node.start()));
      for (const resource of cluster.resources) await cluster.bringUp(resource);
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  /** As up(), then the first node is Primary and everything is in sync. */
  static async inSync(spec: ClusterSpec = {}): Promise<Cluster> {
    const cluster = await Cluster.up(spec);
    try {
      for (const resource of cluster.resources) {
        await cluster.first.call(resource, 'Promote', { force: true });
      }
      for (const resource of cluster.resources) await cluster.untilInSync(resource);
    } catch (error) {
      await cluster.remove();
      throw error;
    }
    return cluster;
  }

  get first(): SystemNode {
    return this.node(0);
  }

  get second(): SystemNode {
    return this.node(1);
  }

  node(index: number): SystemNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    return node;
  }

  /** The backing disk: a file or a loop device. */
  disk(node: SystemNode, resource = 'r0'): string {
    return get(this.disks, `${node.name}/${resource}`);
  }

  port(node: SystemNode): number {
    return get(this.ports, node.name);
  }

  /** What `from` reaches `to` through, where the cluster is forwarded. */
  link(from: SystemNode, to: SystemNode): Forwarder {
    return get(this.links, `${from.name}>${to.name}`);
  }

  get allLinks(): readonly Forwarder[] {
    return [...this.links.values()];
  }

  async bringUp(resource: string): Promise<void> {
    const words = ['create-md', resource, ...(this.spec.createWords ?? [])];
    await Promise.all(this.nodes.map((node) => node.must(...words)));
    await Promise.all(this.nodes.map((node) => node.up(resource)));
  }

  /** Its resources' files, from the disks and ports, with other options. */
  configText(self: SystemNode, resource: string, options = this.spec.options ?? ''): string {
    const sections = this.nodes.map((node, index) => {
      const through = node === self ? undefined : this.links.get(`${self.name}>${node.name}`);
      const host = this.spec.network?.address(index) ?? '127.0.0.1';
      const port = through?.port ?? this.port(node);
      const disk = this.disk(node, resource);
      return `[node "${node.name}"]\naddress = ${host}:${port}\ndisk = ${disk}\n`;
    });
    return `[resource]\ndevice = none\n${options}\n${sections.join('')}`;
  }

  /** Until every copy is UpToDate, connected to every other and nothing is out of sync. */
  async untilInSync(resource = 'r0', deadlineMs = SYNC_DEADLINE_MS): Promise<void> {
    let seen: DeviceStatus[] = [];
    try {
      await until(
        `${resource} is in sync`,
        async () => {
          seen = await Promise.all(this.nodes.map((node) => node.status(resource)));
          return seen.every(isInSync);
        },
        deadlineMs,
      );
    } catch (error) {
      throw new Error(`${String(error)}\n${JSON.stringify(seen, null, 1)}`, { cause: error });
    }
  }

  /** Until no node takes another for connected. */
  async untilApart(resource = 'r0'): Promise<void> {
    await until(`${resource} is disconnected`, async () => {
      const all = await Promise.all(this.nodes.map((node) => node.status(resource)));
      return all.every((one) => one.peers.every((peer) => peer.connectionState !== 'Connected'));
    });
  }

  /** Fails unless the copies of all nodes are the same, byte for byte, over the device's size. */
  async expectIdentical(resource = 'r0'): Promise<void> {
    const { sizeBytes } = await this.first.status(resource);
    if (sizeBytes === null) throw new Error(`${resource} has no size`);
    const reference = this.disk(this.first, resource);
    for (const node of this.nodes.slice(1)) {
      const disk = this.disk(node, resource);
      const found = await run('cmp', ['--bytes', String(sizeBytes), reference, disk]);
      if (found.status !== 0) throw new Error(`copies differ: ${found.stdout}${found.stderr}`);
    }
  }

  /** Fails when a node has found, now or before, that the copies' histories parted. */
  expectNoSplitBrain(): void {
    for (const node of this.nodes) {
      const lines = node.log().split('\n');
      const found = lines.filter((line) => /split.?brain|unrelated|reverted/i.test(line));
      if (found.length > 0) throw new Error(`on ${node.name}: ${found.join('\n')}`);
    }
  }

  /** Nothing `from` sends reaches `to` any more; what `to` sends still arrives. */
  cutOneWay(from: SystemNode, to: SystemNode): void {
    this.link(from, to).cut('there');
    this.link(to, from).cut('back');
  }

  /** Is called by remove(), the last one first. */
  onRemove(cleanUp: () => Promise<unknown>): void {
    this.cleanUps.push(cleanUp);
  }

  /** With `keep`, the folder stays. */
  async remove(keep = process.env.BLKMIRROR_KEEP !== undefined): Promise<void> {
    for (const link of this.links.values()) await link.close();
    for (const node of this.nodes) await node.remove();
    for (const cleanUp of this.cleanUps.reverse()) await cleanUp();
    this.cleanUps.length = 0;
    if (!keep) rmSync(this.folder, { recursive: true, force: true });
  }

  private async makeDisks(): Promise<void> {
    for (const [index, node] of this.nodes.entries()) {
      mkdirSync(node.folder, { recursive: true });
      for (const resource of this.resources) {
        const file = join(node.folder, `${resource}.disk`);
        makeSparseFile(file, this.spec.diskBytes ?? 64 * MIB);
        const disk = this.spec.loop === true ? await this.attachLoop(file, index) : file;
        this.disks.set(`${node.name}/${resource}`, disk);
      }
    }
  }

  private async attachLoop(file: string, index: number): Promise<string> {
    const { loopBlockBytes = 512 } = this.spec;
    const bytes = typeof loopBlockBytes === 'number' ? loopBlockBytes : loopBlockBytes[index];
    const words = ['--sector-size', String(bytes ?? 512), '--find', '--show', file];
    const device = (await runOk('losetup', words)).trim();
    this.onRemove(() => run('losetup', ['--detach', device]));
    return device;
  }

  private async makeNetwork(): Promise<void> {
    const ports = await freePorts(this.nodes.length);
    this.nodes.forEach((node, index) => this.ports.set(node.name, ports[index] ?? 0));
    if (this.spec.forwarded !== true) return;
    for (const from of this.nodes) {
      for (const to of this.nodes) {
        if (from === to) continue;
        const forwarder = await Forwarder.open(this.port(to));
        this.links.set(`${from.name}>${to.name}`, forwarder);
      }
    }
  }

  private writeConfigs(): void {
    for (const node of this.nodes) {
      for (const resource of this.resources) {
        node.writeConfig(resource, this.configText(node, resource));
      }
    }
  }
}

export function makeSparseFile(file: string, bytes: number): void {
  const descriptor = openSync(file, 'w');
  ftruncateSync(descriptor, bytes);
  closeSync(descriptor);
}

function isInSync(device: DeviceStatus): boolean {
  return (
    device.diskState === 'UpToDate' &&
    device.peers.every(
      (peer) =>
        peer.connectionState === 'Connected' &&
        peer.diskState === 'UpToDate' &&
        (peer.outOfSyncBytes === 0 || device.role === 'Secondary') &&
        (peer.replicationState === 'Established' || device.role === 'Secondary'),
    )
  );
}

function get<T>(map: ReadonlyMap<string, T>, key: string): T {
  const value = map.get(key);
  if (value === undefined) throw new Error(`there is no ${key}`);
  return value;
}
