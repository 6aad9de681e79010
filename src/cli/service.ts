/**
 * The service as the command line sees it: the methods of the D-Bus interface with plain
 * arguments, its state as DeviceStatus, and its signals.
 */
import { Variant } from 'dbus-next';
import {
  BUS_NAME,
  DEVICE_INTERFACE,
  JOB_INTERFACE,
  MANAGER_INTERFACE,
  ROOT_PATH,
  devicePath,
} from '../dbus/paths';
import { MirrorError } from '../model/errors';
import type { ResourceName } from '../model/states';
import type { DeviceStatus, JobState, JobStatus } from '../model/status';
import { Bus } from './bus';
import type { CallSpec } from './bus';
import { COMMAND_DEADLINE_MS, READ_DEADLINE_MS } from './limits';
import { waitWhileAlive } from './patience';
import { readDevices } from './statusMap';
import type { ManagedObjects, Properties } from './statusMap';
import { noService } from './words';

export type DeviceMethod =
  | 'Attach'
  | 'Detach'
  | 'Promote'
  | 'Demote'
  | 'Connect'
  | 'Disconnect'
  | 'Resync'
  | 'Outdate'
  | 'Invalidate'
  | 'InvalidateRemote'
  | 'ResumeIo';
export type Options = Readonly<Record<string, string | boolean>>;

const PROPERTIES = 'org.freedesktop.DBus.Properties';
const PEER = 'org.freedesktop.DBus.Peer';
const OBJECT_MANAGER = 'org.freedesktop.DBus.ObjectManager';

export class Service {
  private constructor(
    readonly bus: Bus,
    private readonly onWait: (waitedMs: number) => void,
  ) {}

  /**
   * `onWait` hears of a command that takes long.
   * @throws NotConnected: no bus, or no service on it (which the bus may start by itself)
   */
  static async open(
    address: string,
    onWait: (waitedMs: number) => void = () => undefined,
  ): Promise<Service> {
    return new Service(await Bus.open(address), onWait);
  }

  close(): void {
    this.bus.close();
  }

  /** The devices that are up, sorted by name. @throws NotConnected when no service answers */
  async devices(): Promise<readonly DeviceStatus[]> {
    return readDevices(await this.objects());
  }

  async tryDevice(resource: ResourceName): Promise<DeviceStatus | undefined> {
    return (await this.devices()).find((device) => device.name === resource);
  }

  async objects(): Promise<ManagedObjects> {
    const [objects] = await this.bus.call({
      destination: BUS_NAME,
      path: ROOT_PATH,
      interface: OBJECT_MANAGER,
      member: 'GetManagedObjects',
      deadlineMs: READ_DEADLINE_MS,
      kind: 'read',
    });
    return readObjects(objects);
  }

  async nodeName(): Promise<string> {
    const properties = await this.properties(ROOT_PATH, MANAGER_INTERFACE);
    return String(properties.NodeName);
  }

  async up(resource: string): Promise<void> {
    await this.manager('Up', resource);
  }

  async down(resource: string): Promise<void> {
    await this.manager('Down', resource);
  }

  /** The body of the answer. */
  async device(
    resource: ResourceName,
    member: DeviceMethod,
    options: Options,
  ): Promise<readonly unknown[]> {
    try {
      return await this.command({
        destination: BUS_NAME,
        path: devicePath(resource),
        interface: DEVICE_INTERFACE,
        member,
        signature: 'a{sv}',
        body: [variants(options)],
        deadlineMs: COMMAND_DEADLINE_MS,
        kind: 'command',
      });
    } catch (error) {
      if (isUnknownObject(error)) throw notUp(resource);
      throw error;
    }
  }

  /** undefined when the job has ended so long ago that it is forgotten. */
  async tryJob(path: string, resource: ResourceName): Promise<JobStatus | undefined> {
    try {
      return readJob(await this.properties(path, JOB_INTERFACE), path, resource);
    } catch (error) {
      if (isUnknownObject(error)) return undefined;
      throw error;
    }
  }

  /** All signals of the service, from now on. */
  async subscribe(): Promise<void> {
    const origin = `type='signal',sender='${BUS_NAME}',path_namespace='${ROOT_PATH}'`;
    await this.bus.subscribe(origin);
    const name = `type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged'`;
    await this.bus.subscribe(`${name},arg0='${BUS_NAME}'`);
  }

  /** @throws NotConnected when there is no service */
  async requireRunning(): Promise<void> {
    if ((await this.bus.tryOwnerOf(BUS_NAME)) === undefined) throw noService(this.bus.address);
  }

  private async manager(member: 'Up' | 'Down', resource: string): Promise<void> {
    await this.command({
      destination: BUS_NAME,
      path: ROOT_PATH,
      interface: MANAGER_INTERFACE,
      member,
      signature: 'sa{sv}',
      body: [resource, {}],
      deadlineMs: COMMAND_DEADLINE_MS,
      kind: 'command',
    });
  }

  /** What may take long. */
  private command(spec: CallSpec): Promise<readonly unknown[]> {
    const ping = (): Promise<unknown> =>
      this.bus.call({
        destination: BUS_NAME,
        path: ROOT_PATH,
        interface: PEER,
        member: 'Ping',
        deadlineMs: READ_DEADLINE_MS,
        kind: 'read',
      });
    return waitWhileAlive(this.bus.call(spec), { ping, onWait: this.onWait });
  }

  private async properties(path: string, interfaceName: string): Promise<Properties> {
    const [values] = await this.bus.call({
      destination: BUS_NAME,
      path,
      interface: PROPERTIES,
      member: 'GetAll',
      signature: 's',
      body: [interfaceName],
      deadlineMs: READ_DEADLINE_MS,
      kind: 'read',
    });
    return readProperties(values);
  }
}

export function notUp(resource: string): MirrorError {
  const message = `resource ${resource} is not up; bring it up with: blkmirror up ${resource}`;
  return new MirrorError('NotFound', message);
}

/** Values out of their variants. */
export function readProperties(dictionary: unknown): Properties {
  const values: Record<string, unknown> = {};
  for (const [name, value] of entriesOf(dictionary)) {
    values[name] = value instanceof Variant ? (value.value as unknown) : value;
  }
  return values;
}

export function readInterfaces(dictionary: unknown): ReadonlyMap<string, Properties> {
  return new Map(entriesOf(dictionary).map(([name, values]) => [name, readProperties(values)]));
}

function readObjects(dictionary: unknown): ManagedObjects {
  return new Map(entriesOf(dictionary).map(([path, each]) => [path, readInterfaces(each)]));
}

function entriesOf(dictionary: unknown): [string, unknown][] {
  return typeof dictionary === 'object' && dictionary !== null ? Object.entries(dictionary) : [];
}

function variants(options: Options): Record<string, Variant> {
  const values: Record<string, Variant> = {};
  for (const [name, value] of Object.entries(options)) {
    values[name] = new Variant(typeof value === 'boolean' ? 'b' : 's', value);
  }
  return values;
}

const JOB_STATES: readonly JobState[] = ['running', 'done', 'failed', 'cancelled'];

function readJob(properties: Properties, path: string, resource: ResourceName): JobStatus {
  return {
    id: Number(path.slice(path.lastIndexOf('/') + 1)),
    operation: String(properties.Operation),
    resource,
    state: JOB_STATES.find((state) => state === properties.State) ?? 'running',
    progress: Number(properties.Progress ?? 0),
    bytesPerSecond: Number(properties.BytesPerSecond ?? 0),
    expectedEndMs: Number(properties.ExpectedEndTime ?? 0) / 1000,
    message: typeof properties.Message === 'string' ? properties.Message : '',
  };
}

function isUnknownObject(error: unknown): boolean {
  const cause = error instanceof MirrorError ? error.cause : undefined;
  const type = (cause as { readonly type?: unknown } | undefined)?.type;
  return typeof type === 'string' && /\.Unknown(Object|Interface|Method)$/.test(type);
}
