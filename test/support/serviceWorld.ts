// A MirrorService over fake devices, with real configuration files and a real run-dir.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { getResource } from '../../src/config/load';
import { resolveBusAddress } from '../../src/dbus/busAddress';
import { MirrorBus } from '../../src/dbus/mirrorBus';
import { MirrorService } from '../../src/service/mirrorService';
import { Ports } from '../../src/service/ports';
import { UpList } from '../../src/service/upList';
import { FakeDevice } from './fakeDevice';
import { FakePorts } from './fakePlane';

export class ServiceWorld {
  readonly folder = mkdtempSync(join(tmpdir(), 'blkmirror-service-'));
  readonly ports = new FakePorts();
  /** The latest device of each name. */
  readonly devices = new Map<string, FakeDevice>();
  /** Log lines as pino writes them. */
  readonly logged: string[] = [];
  /** Opening the device of this resource fails with it. */
  readonly openErrors = new Map<string, Error>();
  service: MirrorService;
  private readonly log = pino({}, { write: (line: string) => void this.logged.push(line) });

  constructor() {
    mkdirSync(join(this.folder, 'resources.d'));
    this.service = this.start();
  }

  /** As after a restart: the same folders, nothing up. */
  restart(): void {
    this.devices.clear();
    this.service = this.start();
  }

  configure(name: string, port = 7788, change = ''): void {
    const file = join(this.folder, 'resources.d', `${name}.conf`);
    const node = (node: string, host: string): string =>
      `[node "${node}"]\naddress = ${host}:${String(port)}\ndisk = ${this.folder}/${name}.img\n`;
    writeFileSync(file, `${change}\n${node('alpha', '127.0.0.1')}${node('beta', '127.0.0.2')}`);
  }

  device(name: string): FakeDevice {
    const device = this.devices.get(name);
    if (device === undefined) throw new Error(`${name} is not up`);
    return device;
  }

  /** Its service on a bus; not opened yet. */
  mirrorBus(address: string): MirrorBus {
    const resolved = resolveBusAddress(address, {});
    if (!resolved.ok) throw new Error(resolved.problem);
    return new MirrorBus({
      service: this.service,
      addresses: resolved.addresses,
      ownUid: process.getuid?.() ?? 0,
      ready: Promise.resolve(),
      log: this.log,
    });
  }

  async close(): Promise<void> {
    await this.service.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private start(): MirrorService {
    const { log } = this;
    return new MirrorService({
      version: '9.9.9',
      nodeName: 'alpha',
      loadConfig: (name) => getResource(this.folder, name),
      openDevice: async (config, node, onChange) => {
        const error = this.openErrors.get(config.name);
        if (error !== undefined) throw error;
        const device = new FakeDevice(config, node, onChange);
        this.devices.set(config.name, device);
        return device;
      },
      ports: new Ports({ plane: this.ports, log }),
      upList: new UpList(this.folder, log),
      log,
    });
  }
}
