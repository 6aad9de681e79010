/**
 * The resources that are up: brought up from their files, taken down, reloaded, restored after
 * a restart. One command at a time for each resource; a wrong one never touches another.
 *
 * Called by dbus/ and main.ts; tells of changes through {@link ChangeHub}.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { checkAcross, getNode } from '../config/across';
import { formatProblems } from '../config/problems';
import type { NodeConfig, ResourceConfig } from '../config/types';
import { MirrorError, toMirrorError } from '../model/errors';
import type { ResourceName } from '../model/states';
import type { IncomingConnection } from '../plane/plane';
import type { DeviceChange, Ending, MirrorDevice, ResyncRequest } from '../resource/device';
import type { Hello } from '../resource/hello';
import { ChangeHub } from './changeHub';
import { JobRegistry } from './jobs';
import { KeyedQueue } from './keyedQueue';
import { CLOSE_DEADLINE_MS, RESTORE_AT_ONCE } from './limits';
import type { Ports } from './ports';
import type { UpList } from './upList';

/** What the service needs of a resource beyond what its users see. */
export interface RunningDevice extends MirrorDevice {
  /** Takes over a connection whose first frame names this resource. */
  accept(connection: IncomingConnection, hello: Hello): void;
}

export type OpenDevice = (
  config: ResourceConfig,
  node: NodeConfig,
  onChange: (change: DeviceChange) => void,
) => Promise<RunningDevice>;

export interface MirrorServiceOptions {
  readonly version: string;
  readonly nodeName: string;
  /** Reads the file afresh. @throws NotFound, InvalidArgs */
  readonly loadConfig: (name: string) => ResourceConfig;
  /** Attaches and begins to connect. @throws NotAttached, DeviceInUse, … */
  readonly openDevice: OpenDevice;
  readonly ports: Ports;
  readonly upList: UpList;
  readonly log: Logger;
}

interface UpResource {
  config: ResourceConfig;
  readonly device: RunningDevice;
  stopListening: () => void;
}

export class MirrorService {
  readonly changes: ChangeHub;
  readonly jobs: JobRegistry;
  private readonly resources = new Map<ResourceName, UpResource>();
  private readonly queue = new KeyedQueue();
  private closing = false;

  constructor(private readonly options: MirrorServiceOptions) {
    this.changes = new ChangeHub(options.log);
    this.jobs = new JobRegistry(this.changes);
  }

  get version(): string {
    return this.options.version;
  }

  get nodeName(): string {
    return this.options.nodeName;
  }

  /** Sorted by name. */
  devices(): readonly MirrorDevice[] {
    const names = [...this.resources.keys()].sort();
    return names.flatMap((name) => this.resources.get(name)?.device ?? []);
  }

  tryDevice(name: ResourceName): MirrorDevice | undefined {
    return this.resources.get(name)?.device;
  }

  /** Succeeds when it is up already. @throws NotFound, InvalidArgs, NotAttached, DeviceInUse, … */
  async up(name: string): Promise<ResourceName> {
    return this.queue.run(name, () => this.bringUp(name));
  }

  /** Succeeds when it is not up. @throws DeviceInUse, NotFound (no such resource at all) */
  async down(name: string): Promise<void> {
    await this.queue.run(name, async () => {
      this.refuseWhileClosing();
      const resource = name as ResourceName;
      const running = this.resources.get(resource);
      if (running === undefined && !this.options.upList.has(name)) this.refuseUnknown(name);
      if (running === undefined) this.options.upList.remove(resource);
      else await this.takeDown(resource, running.device);
    });
  }

  /**
   * Takes over what changed in the files of what is up; the rest is not disturbed.
   * @throws InvalidArgs or the one error there was, after all files were looked at
   */
  async reload(): Promise<void> {
    const errors: MirrorError[] = [];
    for (const name of [...this.resources.keys()].sort()) {
      try {
        await this.queue.run(name, () => this.reloadOne(name));
      } catch (error) {
        const known = toMirrorError(error);
        this.options.log.error({ resource: name, code: known.code }, known.message);
        errors.push(known);
      }
    }
    const [first, ...more] = errors;
    if (first === undefined) return;
    if (more.length === 0) throw first;
    throw new MirrorError('InvalidArgs', errors.map((error) => error.message).join('\n'));
  }

  /** Brings up what was up when the service ended; what fails is told and stays on the list. */
  async restore(): Promise<void> {
    const waiting = [...this.options.upList.list()];
    const worker = async (): Promise<void> => {
      for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
        await this.restoreOne(name);
      }
    };
    await Promise.all(Array.from({ length: RESTORE_AT_ONCE }, worker));
  }

  /** Once restored: no kernel device waits any more for this process. */
  async resumed(): Promise<void> {
    await Promise.all(this.devices().map((device) => device.resumed));
  }

  /** Starts or joins a resync; the id of its job. */
  async resync(device: MirrorDevice, request: ResyncRequest): Promise<number> {
    const run = await device.resync(request);
    return this.jobs.follow(device.name, run, () => device.status());
  }

  /** The service ends: closes every device cleanly. What was up stays on the list. */
  async close(ending: Ending = 'stop'): Promise<void> {
    if (this.closing) return;
    this.closing = true;
    this.jobs.close();
    const deadline = new Promise<void>((resolve) => {
      setTimeout(() => resolve(), CLOSE_DEADLINE_MS).unref();
    });
    // What is just being brought up is closed when it is.
    const names = new Set([...this.resources.keys(), ...this.queue.keys()] as ResourceName[]);
    const closed = [...names].map((name) =>
      this.queue.run(name, () => this.closeOne(name, ending)),
    );
    await Promise.race([Promise.allSettled(closed), deadline]);
    for (const resource of this.resources.keys()) {
      this.options.log.error({ resource }, 'not closed in time');
    }
  }

  private async bringUp(name: string): Promise<ResourceName> {
    this.refuseWhileClosing();
    const running = this.resources.get(name as ResourceName);
    if (running !== undefined) return running.config.name;
    const resource = await this.open(this.load(name));
    try {
      this.options.upList.add(resource);
    } catch (error) {
      await this.resources.get(resource)?.device.close();
      this.forget(resource);
      throw error;
    }
    return resource;
  }

  private load(name: string): ResourceConfig {
    const config = this.options.loadConfig(name);
    getNode(config, this.options.nodeName);
    const others = [...this.resources.values()]
      .map((running) => running.config)
      .filter((other) => other.name !== config.name);
    const problems = checkAcross([...others, config], this.options.nodeName);
    const own = problems.filter((problem) => problem.file === config.file);
    if (own.length > 0) throw new MirrorError('InvalidArgs', formatProblems(own));
    return config;
  }

  /** The port first: it is easily given back, and connections wait for the device to be there. */
  private async open(config: ResourceConfig): Promise<ResourceName> {
    const { name } = config;
    const node = getNode(config, this.options.nodeName);
    const stopListening = await this.listen(config);
    try {
      const device = await this.options.openDevice(config, node, (change) =>
        this.onDeviceChange(name, change),
      );
      this.resources.set(name, { config, device, stopListening });
    } catch (error) {
      stopListening();
      throw error;
    }
    this.changes.resourceChanged(name);
    this.options.log.info({ resource: name, disk: node.disk, address: node.address }, 'up');
    return name;
  }

  private listen(config: ResourceConfig): Promise<() => void> {
    const { host, port } = getNode(config, this.options.nodeName);
    const tryAccept = (connection: IncomingConnection, hello: Hello): boolean => {
      const running = this.resources.get(config.name);
      running?.device.accept(connection, hello);
      return running !== undefined;
    };
    return this.options.ports.open(host, port, { resource: config.name, tryAccept });
  }

  private async reloadOne(name: ResourceName): Promise<void> {
    const running = this.resources.get(name);
    if (running === undefined) return;
    const config = this.load(name);
    if (isDeepStrictEqual(config, running.config)) return;
    await this.reconfigure(running, config);
    running.config = config;
    this.changes.resourceChanged(name);
    this.options.log.info({ resource: name }, 'reconfigured');
  }

  private async reconfigure(running: UpResource, config: ResourceConfig): Promise<void> {
    const before = getNode(running.config, this.options.nodeName);
    const after = getNode(config, this.options.nodeName);
    if (before.address === after.address) {
      await running.device.reconfigure(config);
      return;
    }
    const stopListening = await this.listen(config);
    try {
      await running.device.reconfigure(config);
    } catch (error) {
      stopListening();
      throw error;
    }
    running.stopListening();
    running.stopListening = stopListening;
  }

  private async restoreOne(name: ResourceName): Promise<void> {
    try {
      await this.queue.run(name, async () => {
        // A `down` may have come before its turn.
        if (this.options.upList.has(name)) await this.bringUp(name);
      });
    } catch (error) {
      const known = toMirrorError(error);
      this.options.log.error({ resource: name, code: known.code }, known.message);
    }
  }

  private async closeOne(name: ResourceName, ending: Ending): Promise<void> {
    const running = this.resources.get(name);
    if (running === undefined) return;
    running.stopListening();
    try {
      await running.device.close(ending);
    } catch (error) {
      this.options.log.error({ resource: name, err: error }, 'not closed cleanly');
    }
    this.resources.delete(name);
  }

  /** One that cannot end cleanly is gone all the same, unless it refused to begin. */
  private async takeDown(name: ResourceName, device: MirrorDevice): Promise<void> {
    try {
      await device.down();
      this.options.log.info({ resource: name }, 'down');
    } finally {
      if (device.isOver) {
        this.forget(name);
        this.options.upList.remove(name);
      }
    }
  }

  private forget(name: ResourceName): void {
    this.resources.get(name)?.stopListening();
    this.resources.delete(name);
    this.changes.resourceChanged(name);
  }

  private onDeviceChange(name: ResourceName, change: DeviceChange): void {
    const { log } = this.options;
    if (change.type === 'splitBrain') {
      log.error({ resource: name, peer: change.peer }, `split brain: ${change.message}`);
    }
    if (change.type === 'settled') {
      log.warn({ resource: name, peer: change.peer }, `split brain settled: ${change.message}`);
    }
    if (change.type === 'failed') {
      log.error({ resource: name, code: change.error.code }, change.error.message);
    }
    this.changes.resourceChanged(name);
  }

  /** Lets pass a resource that has a file, right or wrong. */
  private refuseUnknown(name: string): void {
    try {
      this.options.loadConfig(name);
    } catch (error) {
      const known = toMirrorError(error);
      if (known.code === 'NotFound') throw known;
    }
  }

  private refuseWhileClosing(): void {
    if (this.closing) throw new MirrorError('InTransition', 'the service is ending');
  }
}
