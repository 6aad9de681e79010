// The kernel's NBD driver, sysfs, udev and /dev in a folder: what kernelDevices.ts meets on a real
// machine. Connections are numbers; the fake knows which of them are dead.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readdirSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '../../src/model/clock';
import { systemClock } from '../../src/resource/system';
import { MirrorError } from '../../src/model/errors';
import type {
  KernelDeviceSpec,
  KernelDeviceState,
  KernelDriver,
} from '../../src/plane/kernelDriver';
import { KernelDevices } from '../../src/plane/kernelDevices';
import { KernelTree } from '../../src/plane/kernelTree';
import type { KernelRoots } from '../../src/plane/kernelTree';
import type { SocketStore, StoredSocket } from '../../src/plane/socketStore';

interface FakeDevice {
  readonly spec: KernelDeviceSpec;
  fd: number;
  dead: boolean;
}

export class FakeKernel implements KernelDriver, SocketStore {
  readonly folder = mkdtempSync(join(tmpdir(), 'blkmirror-kernel-'));
  roots: KernelRoots;
  readonly calls: string[] = [];
  readonly connected = new Map<number, FakeDevice>();
  readonly stored = new Map<string, StoredSocket>();
  /** Of this end: handed out and not closed. */
  readonly open = new Set<number>();
  /** The kernel has nbd. */
  present = true;
  /** Loading the module helps. */
  loadable = false;
  /** udev makes the links. */
  udev = true;
  permitted = true;
  /** Something has devices open: they stay after their end. */
  keepOpen = false;
  private lastFd = 100;

  constructor(devices = 2) {
    const at = (name: string): string => join(this.folder, name);
    this.roots = { sys: at('sys'), dev: at('dev'), proc: at('proc'), run: at('run') };
    for (let index = 0; index < devices; index += 1) this.create(index);
    mkdirSync(join(this.roots.run, 'udev'), { recursive: true });
    mkdirSync(join(this.roots.dev, 'blkmirror'), { recursive: true });
    writeFileSync(join(this.roots.run, 'udev/control'), '');
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }

  devices(clock: Clock = systemClock): KernelDevices {
    const loadModule = (): Promise<void> => {
      this.calls.push('modprobe');
      this.present ||= this.loadable;
      return Promise.resolve();
    };
    return new KernelDevices({ driver: this, tree: new KernelTree(this.roots), clock, loadModule });
  }

  attribute(index: number, name: string): string {
    return readFileSync(join(this.roots.sys, 'block', `nbd${index}`, name), 'utf8').trim();
  }

  announcement(index: number): string {
    const file = join(this.roots.run, 'blkmirror/udev', `nbd${index}.env`);
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  links(): readonly string[] {
    return readdirSync(join(this.roots.dev, 'blkmirror'));
  }

  mount(device: string, place: string): void {
    mkdirSync(join(this.roots.proc, '1'), { recursive: true });
    const line = `36 35 43:0 / ${place} rw,relatime - ext4 /dev/${device} rw\n`;
    writeFileSync(join(this.roots.proc, '1/mountinfo'), line);
  }

  unmount(): void {
    rmSync(join(this.roots.proc, '1'), { recursive: true });
  }

  /** A program that has it open. */
  openBy(pid: number, command: string, device: string): void {
    mkdirSync(join(this.roots.proc, String(pid), 'fd'), { recursive: true });
    writeFileSync(join(this.roots.proc, String(pid), 'comm'), `${command}\n`);
    symlinkSync(`/dev/${device}`, join(this.roots.proc, String(pid), 'fd/3'));
  }

  /** The process with this end is gone. */
  die(): void {
    for (const device of this.connected.values()) {
      if (this.open.has(device.fd)) device.dead = true;
    }
    this.open.clear();
  }

  status(): Promise<readonly KernelDeviceState[]> {
    if (!this.present) return refuse('NotFound', 'the kernel has no nbd: run modprobe nbd');
    const indexes = readdirSync(join(this.roots.sys, 'block')).map((name) => Number(name.slice(3)));
    return Promise.resolve(
      indexes.map((index) => ({ index, connected: this.connected.has(index) })),
    );
  }

  connect(spec: KernelDeviceSpec): Promise<number> {
    this.calls.push(`connect ${spec.index}`);
    if (!this.permitted) return refuse('NotAuthorized', 'not permitted: run the service as root');
    if (this.connected.has(spec.index)) return refuse('DeviceInUse', 'it is connected already');
    this.create(spec.index);
    const fd = this.newFd();
    this.connected.set(spec.index, { spec, fd, dead: false });
    this.write(spec.index, 'pid', '1');
    this.write(spec.index, 'backend', spec.identifier);
    this.runUdev(spec.index);
    return Promise.resolve(fd);
  }

  reconfigure(spec: KernelDeviceSpec): Promise<number> {
    this.calls.push(`reconfigure ${spec.index}`);
    const device = this.connected.get(spec.index);
    if (device?.spec.identifier !== spec.identifier) return refuse('Failed', 'not configured');
    if (!device.dead) return refuse('InTransition', 'it is not dead yet');
    device.dead = false;
    device.fd = this.newFd();
    return Promise.resolve(device.fd);
  }

  disconnect(index: number): Promise<void> {
    this.calls.push(`disconnect ${index}`);
    if (this.keepOpen) {
      this.runUdev(index);
      return Promise.resolve();
    }
    this.connected.delete(index);
    for (const name of ['pid', 'backend']) {
      rmSync(join(this.roots.sys, 'block', `nbd${index}`, name), { force: true });
    }
    setImmediate(() => this.runUdev(index));
    return Promise.resolve();
  }

  claim(path: string): Promise<number> {
    this.calls.push(`claim ${path.slice(this.roots.dev.length + 1)}`);
    return Promise.resolve(this.newFd());
  }

  close(fd: number): void {
    this.open.delete(fd);
  }

  take(name: string): Promise<StoredSocket | undefined> {
    const found = this.stored.get(name);
    this.stored.delete(name);
    return Promise.resolve(found);
  }

  put(name: string, socket: StoredSocket): Promise<void> {
    // The store's copy: the death of the process is not its end.
    this.open.delete(socket.fd);
    this.stored.set(name, socket);
    return Promise.resolve();
  }

  private create(index: number): void {
    const queue = join(this.roots.sys, 'block', `nbd${index}`, 'queue');
    if (existsSync(queue)) return;
    mkdirSync(queue, { recursive: true });
    this.write(index, 'uevent', '');
    this.write(index, 'queue/scheduler', 'mq-deadline');
    this.write(index, 'queue/io_timeout', '30000');
    this.write(index, 'queue/max_hw_sectors_kb', '32767');
    this.write(index, 'queue/max_sectors_kb', '128');
  }

  write(index: number, name: string, text: string): void {
    writeFileSync(join(this.roots.sys, 'block', `nbd${index}`, name), text);
  }

  private newFd(): number {
    this.lastFd += 1;
    this.open.add(this.lastFd);
    return this.lastFd;
  }

  private runUdev(index: number): void {
    if (!this.udev || !existsSync(this.folder)) return;
    const resource = /RESOURCE=(.*)/.exec(this.announcement(index))?.[1];
    const folder = join(this.roots.dev, 'blkmirror');
    if (resource === undefined) rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { recursive: true });
    const link = join(folder, resource ?? '');
    if (resource !== undefined && !existsSync(link)) {
      rmSync(link, { force: true });
      symlinkSync(`../nbd${index}`, link);
    }
  }
}

function refuse(
  code: 'NotFound' | 'NotAuthorized' | 'DeviceInUse' | 'InTransition' | 'Failed',
  why: string,
): Promise<never> {
  return Promise.reject(new MirrorError(code, why));
}
