/**
 * The service on D-Bus: one object for the manager, each device, peer and job, kept in step
 * with the service; calls go to it, changes come from it. Loss of the bus changes nothing here:
 * the objects stay, and are there again with the bus.
 */
import { Message } from 'dbus-next';
import type { Logger } from 'pino';
import type { NodeName, ResourceName } from '../model/states';
import type { MirrorDevice } from '../resource/device';
import type { Changes } from '../service/changeHub';
import type { MirrorService } from '../service/mirrorService';
import { BusAuthorizer } from './authorizer';
import { BusConnection } from './busConnection';
import { Dispatcher } from './dispatcher';
import { deviceInterface, jobInterface, managerInterface, peerInterface } from './interfaces';
import { readMirrorInterfaces } from './interfaces';
import type { MirrorInterfaces } from './interfaces';
import { ObjectTree } from './objectTree';
import type { BusSignal } from './objectTree';
import { BUS_NAME, devicePath, jobPath, peerPath, ROOT_PATH } from './paths';
import { Polkit } from './polkit';
import { tryUnitJob } from './unitJob';

export interface MirrorBusOptions {
  readonly service: MirrorService;
  /** As resolveBusAddress gives them. */
  readonly addresses: readonly string[];
  /** Besides root, who may change something. */
  readonly ownUid: number;
  /** No call is answered before. */
  readonly ready: Promise<void>;
  readonly log: Logger;
}

export class MirrorBus {
  private parsed: MirrorInterfaces | undefined;
  private readonly tree: ObjectTree;
  private readonly connection: BusConnection;
  /** What the objects of a resource were made for: another device is another object. */
  private readonly shown = new Map<ResourceName, MirrorDevice>();
  private readonly runningJobs = new Set<number>();
  private unsubscribe: () => void = () => undefined;

  constructor(private readonly options: MirrorBusOptions) {
    const { service, addresses, ownUid, ready, log } = options;
    this.tree = new ObjectTree(ROOT_PATH, (signal) => {
      this.connection.send(toMessage(signal));
    });
    const polkit = new Polkit((spec) => this.connection.call(spec));
    const authorizer = new BusAuthorizer(
      (sender) => this.connection.userOf(sender),
      ownUid,
      polkit,
    );
    const dispatcher = new Dispatcher({
      tree: this.tree,
      authorizer,
      ready,
      beforeReply: () => service.changes.flush(),
      log,
    });
    this.connection = new BusConnection({
      addresses,
      name: BUS_NAME,
      onMessage: (message, reply) => dispatcher.handle(message, reply),
      onConnecting: () => authorizer.forget(),
      log,
    });
  }

  /**
   * Exports what is there, follows changes, and goes to the bus; without one it keeps trying.
   * @throws Failed when another service owns the name
   */
  async open(): Promise<void> {
    const { service } = this.options;
    this.tree.add(ROOT_PATH, [managerInterface(this.specs.manager, service)]);
    this.unsubscribe = service.changes.subscribe((changes) => this.follow(changes));
    this.follow({
      resources: new Set(service.devices().map((device) => device.name)),
      jobs: new Set(service.jobs.ids()),
    });
    await this.connection.start();
  }

  /** What the service manager is doing with this process; undefined: nothing, or unknown. */
  tryUnitJob(): Promise<string | undefined> {
    return tryUnitJob((spec) => this.connection.call(spec), process.pid);
  }

  /** Twice is fine. */
  async close(): Promise<void> {
    this.unsubscribe();
    await this.connection.close();
  }

  /** Read when first needed: a kernel device that waits for this process does not wait for it. */
  private get specs(): MirrorInterfaces {
    return (this.parsed ??= readMirrorInterfaces());
  }

  private follow(changes: Changes): void {
    for (const name of changes.resources) this.followResource(name);
    for (const id of changes.jobs) this.followJob(id);
  }

  private followResource(name: ResourceName): void {
    const device = this.options.service.tryDevice(name);
    if (this.shown.get(name) !== device) this.hide(name);
    if (device === undefined) return;
    const path = devicePath(name);
    if (this.shown.has(name)) this.tree.refresh(path);
    else this.tree.add(path, [deviceInterface(this.specs.device, this.options.service, device)]);
    this.shown.set(name, device);
    this.followPeers(device);
  }

  private followPeers(device: MirrorDevice): void {
    const names = device.status().peers.map((peer) => peer.name);
    const wanted = new Map(names.map((name) => [peerPath(device.name, name), name]));
    for (const path of this.tree.pathsBelow(`${devicePath(device.name)}/peers`)) {
      if (!wanted.has(path)) this.tree.remove(path);
    }
    for (const [path, name] of wanted) this.showPeer(path, device, name);
  }

  private showPeer(path: string, device: MirrorDevice, name: NodeName): void {
    if (this.tree.has(path)) this.tree.refresh(path);
    else this.tree.add(path, [peerInterface(this.specs.peer, device, name)]);
  }

  private hide(name: ResourceName): void {
    if (!this.shown.delete(name)) return;
    const path = devicePath(name);
    for (const below of this.tree.pathsBelow(path)) this.tree.remove(below);
    this.tree.remove(path);
  }

  private followJob(id: number): void {
    const { service } = this.options;
    const path = jobPath(id);
    const job = service.jobs.tryStatus(id);
    if (job === undefined) {
      this.tree.remove(path);
      this.runningJobs.delete(id);
      return;
    }
    if (this.tree.has(path)) {
      this.tree.refresh(path);
    } else {
      this.tree.add(path, [jobInterface(this.specs.job, service, id)]);
      this.runningJobs.add(id);
    }
    if (job.state === 'running' || !this.runningJobs.delete(id)) return;
    this.tree.emit(path, this.specs.job, 'Completed', [job.state === 'done', job.message]);
  }
}

function toMessage(signal: BusSignal): Message {
  const { path, interfaceName, member, signature, body } = signal;
  return Message.newSignal(path, interfaceName, member, signature, [...body]);
}
