// Nodes of one resource over memory planes on a virtual clock: what the service does around a
// Resource, and words to tell scenarios with.

import type { ResourceConfig } from '../../src/config/types';
import { NO_POLICIES } from '../../src/model/policies';
import type { ConfiguredPolicies } from '../../src/model/policies';
import type { NodeName, ResourceName } from '../../src/model/states';
import { formatUuid } from '../../src/model/states';
import type { PeerStatus } from '../../src/model/status';
import type { DeviceChange } from '../../src/resource/device';
import { HANDLER_NAMES } from '../../src/model/handlers';
import type { HandlerEnd, HandlerName, HandlerRunner } from '../../src/model/handlers';
import { parseHello } from '../../src/resource/hello';
import type { KernelSide } from '../../src/resource/kernelDevice';
import { Resource } from '../../src/resource/resource';
import type { MemoryDevice } from './memoryDevice';
import { MemoryDisk, nameSpec } from './memoryDisk';
import { MemoryNetwork } from './memoryNetwork';
import { MemoryPlane } from './memoryPlane';
import { seededRandom, VirtualClock } from './virtualClock';

export const TIMEOUT_MS = 6000;
const RESOURCE = 'r0';

export class World {
  readonly clock = new VirtualClock();
  readonly network = new MemoryNetwork(this.clock);
  readonly disks = new Map<string, MemoryDisk>();
  readonly violations: string[] = [];
  readonly nodes = new Map<string, Node>();
  readonly random;
  /** Of every node. */
  policies: ConfiguredPolicies = NO_POLICIES;

  private constructor(
    readonly names: readonly string[],
    seed: number,
    readonly blocks: number,
  ) {
    this.random = seededRandom(seed);
  }

  static create(names: readonly string[], seed = 1, blocks = 20): World {
    const world = new World(names, seed, blocks);
    for (const name of names) {
      world.newDisk(name);
      world.nodes.set(name, new Node(world, name));
    }
    return world;
  }

  newDisk(name: string): void {
    const disk = new MemoryDisk(this.blocks);
    disk.format(nameSpec(RESOURCE, name, `/disk/${name}`));
    this.disks.set(`/disk/${name}`, disk);
  }

  node(name: string): Node {
    const node = this.nodes.get(name);
    if (node === undefined) throw new Error(`no node ${name}`);
    return node;
  }

  config(): ResourceConfig {
    return {
      name: RESOURCE as ResourceName,
      file: 'r0.conf',
      device: 'none',
      protocol: 'C',
      timeoutMs: TIMEOUT_MS,
      sndbufBytes: 0,
      rcvbufBytes: 0,
      splitBrain: this.policies,
      alExtents: 0,
      onIoError: 'detach',
      diskTimeoutMs: 0,
      cMaxKibPerSecond: 0,
      cMinKibPerSecond: 250,
      fencing: 'dont-care',
      handlers: Object.fromEntries(HANDLER_NAMES.map((name) => [name, name])),
      handlerTimeoutMs: 120_000,
      waitForPeersMs: 30_000,
      nodes: [...this.names].sort().map((name) => ({
        name: name as NodeName,
        address: `${name}:7788`,
        host: name,
        port: 7788,
        disk: `/disk/${name}`,
        metaDisk: 'internal',
      })),
    };
  }

  async up(...names: string[]): Promise<void> {
    for (const name of names.length > 0 ? names : this.names) await this.node(name).up();
  }

  /** All up, in sync, the first one Primary. */
  async upInSync(): Promise<void> {
    await this.up();
    const [first = ''] = this.names;
    await this.do(this.node(first).resource.promote({ force: true }));
    await this.reach(() => this.others(first).every((name) => this.node(first).sees(name)));
  }

  others(name: string): string[] {
    return this.names.filter((other) => other !== name);
  }

  do<T>(promise: Promise<T>): Promise<T> {
    return this.clock.finish(promise);
  }

  /** Fails with the statuses of all nodes when it does not come true. */
  async reach(condition: () => boolean, limitMs = 60_000): Promise<void> {
    if (await this.clock.until(condition, limitMs)) return;
    throw new Error(`not reached:\n${this.describe()}`);
  }

  describe(): string {
    return [...this.nodes.values()].map((node) => node.describe()).join('\n');
  }
}

export class Node {
  readonly changes: DeviceChange[] = [];
  /** Handlers that were run, in their order, each with the peer it concerns. */
  readonly handled: string[] = [];
  /** How a handler ends; else with status 0. */
  readonly answers = new Map<HandlerName, HandlerEnd>();
  readonly handlers: HandlerRunner = {
    run: ({ name, variables }) => {
      const peer = variables['DRBD_PEER'];
      this.handled.push(peer === undefined ? name : `${name} ${peer}`);
      return Promise.resolve(this.answers.get(name) ?? { kind: 'exited', status: 0 });
    },
  };
  plane: MemoryPlane;
  /** Of the node's machine; undefined: it has no kernel devices. */
  kernel: KernelSide | undefined;
  private running: Resource | undefined;
  private boots = 0;

  constructor(
    private readonly world: World,
    readonly name: string,
  ) {
    this.plane = this.newPlane();
  }

  get resource(): Resource {
    if (this.running === undefined) throw new Error(`${this.name} is not up`);
    return this.running;
  }

  get device(): MemoryDevice {
    return this.plane.deviceOf(this.name as NodeName);
  }

  get disk(): MemoryDisk {
    const disk = this.world.disks.get(`/disk/${this.name}`);
    if (disk === undefined) throw new Error('no disk');
    return disk;
  }

  /** Starts the daemon and brings the resource up. */
  async up(config: ResourceConfig = this.world.config(), address = this.name): Promise<void> {
    this.plane = this.newPlane();
    this.boots += 1;
    const { clock, random } = this.world;
    const environment = {
      plane: this.plane,
      clock,
      random,
      bootNonce: formatUuid(random.uuid()),
      bootId: 1n,
      runDir: '/run',
      locations: { tryGet: () => undefined, put: () => undefined },
      handlers: this.handlers,
      ...(this.kernel === undefined ? {} : { kernel: this.kernel }),
      resolveHost: (host: string) => Promise.resolve(host),
      processName: (pid: number) => (pid === 42 ? 'qemu-nbd' : undefined),
    };
    const node = this.name as NodeName;
    const onChange = (change: DeviceChange): void => void this.changes.push(change);
    const opening = Resource.open({ config, node, environment, onChange });
    this.running = await this.world.do(opening);
    const resource = this.running;
    await this.plane.listen(address, 7788, (incoming) => {
      const parsed = parseHello(incoming.hello);
      if (parsed.kind === 'hello') resource.accept(incoming, parsed.hello);
      else this.plane.refuse(incoming.socket, parsed.text);
    });
  }

  async down(): Promise<void> {
    await this.world.do(this.resource.down());
    this.plane.close();
    this.running = undefined;
  }

  /** kill -9 of the daemon. */
  crash(): void {
    this.plane.crash();
    this.running = undefined;
  }

  peer(name: string): PeerStatus {
    const peer = this.resource.status().peers.find((candidate) => candidate.name === name);
    if (peer === undefined) throw new Error(`${this.name} has no peer ${name}`);
    return peer;
  }

  /** Established, both UpToDate. */
  sees(name: string): boolean {
    const { replicationState, diskState, outOfSyncBytes } = this.peer(name);
    const both = diskState === 'UpToDate' && this.resource.status().diskState === 'UpToDate';
    return both && replicationState === 'Established' && outOfSyncBytes === 0;
  }

  standsAlone(name: string): boolean {
    return this.peer(name).connectionState === 'StandAlone';
  }

  contents(): [number, string][] {
    return [...this.disk.blocks].sort(([a], [b]) => a - b);
  }

  describe(): string {
    if (this.running === undefined) return `${this.name} is down`;
    const { role, diskState, currentUuid, peers } = this.running.status();
    const lines = peers.map(
      (peer) =>
        `  ${peer.name} ${peer.connectionState} ${peer.replicationState} ${peer.role} ` +
        `${peer.diskState} oos=${String(peer.outOfSyncBytes)} ${peer.reason}`,
    );
    return [`${this.name} ${role} ${diskState} ${String(currentUuid)}`, ...lines].join('\n');
  }

  private newPlane(): MemoryPlane {
    const { network, disks, violations } = this.world;
    return new MemoryPlane(network, disks, this.name, violations);
  }
}
