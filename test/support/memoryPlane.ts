// A data plane in memory: planes on one memory network, disks that outlive them.

import { MirrorError } from '../../src/model/errors';
import type { NodeName } from '../../src/model/states';
import type {
  AttachSpec,
  CreateMetadataSpec,
  DeviceEvent,
  DevicePlane,
  DialSpec,
  DiskInfo,
  IncomingConnection,
  Listener,
  Metadata,
  Plane,
  WireSocket,
} from '../../src/plane/plane';
import { MemoryDevice } from './memoryDevice';
import type { MemoryDisk } from './memoryDisk';
import { FakeEnd, LATENCY_MS } from './memoryNetwork';
import type { MemoryNetwork } from './memoryNetwork';

export class MemoryPlane implements Plane {
  readonly devices: MemoryDevice[] = [];
  /** What dial() does next instead of dialling. */
  failNextDial: Error | undefined;
  private ports: number[] = [];

  constructor(
    private readonly network: MemoryNetwork,
    private readonly disks: Map<string, MemoryDisk>,
    /** Its address. */
    private readonly host: string,
    private readonly violations: string[],
  ) {}

  inspectDisk(path: string): Promise<DiskInfo> {
    const sizeBytes = this.disk(path).metadata().sizeBytes;
    return Promise.resolve({ kind: 'file', sizeBytes, logicalBlockBytes: 512 });
  }

  createMetadata(spec: CreateMetadataSpec): Promise<Metadata> {
    const disk = this.disk(spec.disk);
    disk.format(spec);
    return Promise.resolve(disk.metadata());
  }

  readMetadata(disk: string): Promise<Metadata> {
    return Promise.resolve(this.disk(disk).metadata());
  }

  attach(spec: AttachSpec, onEvent: (event: DeviceEvent) => void): Promise<DevicePlane> {
    const disk = this.disk(spec.disk);
    if (disk.header === undefined) {
      return Promise.reject(new MirrorError('NotAttached', `${spec.disk} has no metadata`));
    }
    if (disk.attached) return Promise.reject(new MirrorError('DeviceInUse', 'attached already'));
    disk.attach(spec.peers);
    const device = new MemoryDevice(this.network, disk, spec.node, this.violations, onEvent);
    this.devices.push(device);
    return Promise.resolve(device);
  }

  listen(
    host: string,
    port: number,
    onConnection: (connection: IncomingConnection) => void,
  ): Promise<Listener> {
    this.ports.push(port);
    this.network.listen(host, port, onConnection);
    const close = (): void => this.network.unlisten(host, port);
    return Promise.resolve({ address: `${host}:${port}`, close });
  }

  dial(spec: DialSpec): Promise<WireSocket> {
    this.network.count('dial');
    const failure = this.failNextDial;
    this.failNextDial = undefined;
    return new Promise((resolve, reject) => {
      this.network.clock.after(LATENCY_MS, () => {
        const refused = new MirrorError('NotConnected', 'connection refused');
        if (failure !== undefined) {
          reject(failure);
          return;
        }
        const end = this.network.connect(this.host, spec.host, spec.port, spec.hello);
        if (end === undefined) reject(refused);
        else resolve(end);
      });
    });
  }

  setSocketOptions(): void {
    // Nothing to set in memory.
  }

  refuse(socket: WireSocket, text: string): void {
    if (!(socket instanceof FakeEnd)) return;
    socket.send((listener) => listener.control(text));
    socket.close();
  }

  close(): void {
    for (const port of this.ports) this.network.unlisten(this.host, port);
  }

  /** kill -9 */
  crash(): void {
    for (const device of this.devices) device.crash();
    this.close();
    this.network.dropHost(this.host);
  }

  deviceOf(node: NodeName): MemoryDevice {
    const device = this.devices.findLast((candidate) => candidate.node === node);
    if (device === undefined) throw new Error(`${node} has no device`);
    return device;
  }

  private disk(path: string): MemoryDisk {
    const disk = this.disks.get(path);
    if (disk === undefined) throw new MirrorError('NotFound', `${path} is not there`);
    return disk;
  }
}
