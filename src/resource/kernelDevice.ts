/**
 * The kernel device of one resource, `/dev/nbdN`. It is connected by a promotion and ended by a
 * demotion; when this process ends otherwise it stays, its requests wait, and the next process of
 * the service takes it over (DESIGN section 7).
 *
 * Owned by Core; promotion, demotion, start and end of a resource call it.
 */
import type { KernelDevices, KernelExport } from '../plane/kernelDevices';
import type { SocketStore, StoredSocket } from '../plane/socketStore';
import { MirrorError, toMirrorError } from '../model/errors';
import { KERNEL_PARK_MS, KERNEL_RECONNECT_MS } from '../model/limits';
import type { Core } from './core';
import { withDeadline } from './deadline';

/** Of this machine; one for each service. */
export interface KernelSide {
  readonly devices: KernelDevices;
  readonly sockets: SocketStore;
  /** Told when a resource whose device is `auto` has to do without one. */
  readonly onMissing: (why: string) => void;
}

const NOTHING_READ = new Uint8Array(0);

export class KernelDevice {
  private index: number | undefined;
  /** Of a device that a former process left: its connection, not served yet. */
  private left: StoredSocket | undefined;
  /** Holds the device against others while it ends. */
  private claimed: number | undefined;
  /** The end of its connection is this side's doing. */
  private ending = false;
  private repairing = false;

  constructor(private readonly core: Core) {}

  /** `/dev/blkmirror/<resource>`; null: there is none, or it is not served. */
  get path(): string | null {
    const { kernel } = this.core.environment;
    if (kernel === undefined || this.index === undefined || this.left !== undefined) return null;
    return kernel.devices.tree.linkPath(this.core.name);
  }

  get isThere(): boolean {
    return this.index !== undefined;
  }

  /** `/dev/nbdN`, for messages. */
  get name(): string {
    const { kernel } = this.core.environment;
    return kernel?.devices.tree.devicePath(this.index ?? 0) ?? 'the kernel device';
  }

  /**
   * At the start of a resource: whether a former process left its device. Its connection is made
   * anew at once, so that the kernel may send again what was not answered; it is not served yet.
   */
  async find(): Promise<boolean> {
    const { core } = this;
    const kernel = core.environment.kernel;
    const index = kernel?.devices.tryFind(core.name, core.node);
    if (kernel === undefined || index === undefined) return false;
    this.index = index;
    try {
      this.left = await this.takeOver(kernel, index);
      return true;
    } catch (error) {
      await this.abandon(toMirrorError(error).message);
      return false;
    }
  }

  /** The kernel is served from here on. Without nbd nothing happens where `device = auto`. */
  async attach(): Promise<void> {
    const { core } = this;
    const kernel = core.environment.kernel;
    const wanted = core.config.device;
    if (kernel === undefined || (wanted === 'none' && this.index === undefined)) return;
    const socket = this.left ?? (await this.connection(kernel, wanted));
    if (socket === undefined) return;
    this.left = undefined;
    this.ending = false;
    await core.device.serveKernel(socket);
    if (this.index !== undefined) void kernel.devices.tree.tune(this.index);
  }

  /** Resolves when its link is there. */
  async ready(): Promise<void> {
    const { kernel } = this.core.environment;
    if (kernel === undefined || this.index === undefined) return;
    await kernel.devices.whenLinked(this.exported(), this.index);
  }

  /** Nobody uses it, and nobody will until unclaim(). @throws DeviceInUse unless `force` */
  async claim(force: boolean): Promise<void> {
    const { kernel } = this.core.environment;
    if (kernel === undefined || this.index === undefined || this.claimed !== undefined) return;
    try {
      this.claimed = await kernel.devices.claim(this.core.name, this.index);
    } catch (error) {
      if (!force) throw error;
    }
    this.ending = true;
  }

  unclaim(): void {
    this.ending = false;
    this.letGo();
  }

  /** It ends: what still waits fails. Nothing happens when there is none. @throws Failed */
  async detach(): Promise<void> {
    const { kernel } = this.core.environment;
    const { index } = this;
    if (kernel === undefined || index === undefined) return;
    this.ending = true;
    this.dropLeft(kernel);
    try {
      await kernel.devices.disconnect(this.core.name, index);
      this.index = undefined;
    } finally {
      this.letGo();
    }
  }

  /** What a former process left cannot go on: whoever uses the device gets errors. */
  async abandon(why: string): Promise<void> {
    const { core, name, index } = this;
    if (index === undefined) return;
    const failed = await this.detach().then(
      () => '',
      (error: unknown) => ` (${toMirrorError(error).message})`,
    );
    core.environment.kernel?.devices.forget(index);
    this.index = undefined;
    const message =
      `${core.name} does not go on as Primary: ${why}; requests that waited on ${name} have ` +
      `failed${failed}: unmount what is mounted there`;
    core.report({ type: 'failed', error: new MirrorError('Failed', message) });
  }

  /** Before this process ends for the next one: its connection goes to the store. */
  async park(): Promise<void> {
    const { core } = this;
    const { kernel, clock } = core.environment;
    if (kernel === undefined || this.path === null) return;
    this.ending = true;
    try {
      const parking = core.device.parkKernel();
      const socket = await withDeadline(clock, KERNEL_PARK_MS, 'answering the kernel', parking);
      try {
        await kernel.sockets.put(core.name, socket);
      } finally {
        kernel.devices.release(socket.fd);
      }
    } catch (error) {
      core.report({ type: 'failed', error: toMirrorError(error) });
    }
  }

  /** The data plane told of a change of its clients: has the kernel's connection ended? */
  follow(): void {
    const { core } = this;
    if (this.path === null || this.ending || this.repairing || core.closing) return;
    if (core.device.statistics().kernelAttached) return;
    this.repairing = true;
    this.repair()
      .catch((error: unknown) => this.giveUp(toMirrorError(error)))
      .finally(() => (this.repairing = false));
  }

  private async repair(): Promise<void> {
    const { kernel } = this.core.environment;
    if (kernel === undefined || this.index === undefined) return;
    const fd = await kernel.devices.reconnect(this.exported(), this.index, KERNEL_RECONNECT_MS);
    await this.core.device.serveKernel({ fd, unread: NOTHING_READ });
  }

  private giveUp(cause: MirrorError): void {
    const { core, name, index } = this;
    if (index !== undefined) core.environment.kernel?.devices.forget(index);
    this.index = undefined;
    const message =
      `somebody else has disconnected ${name} of ${core.name}: demote ${core.name} and promote ` +
      `it again to have it back (${cause.message})`;
    core.report({ type: 'failed', error: new MirrorError('Failed', message, { cause }) });
    core.report({ type: 'changed' });
  }

  /** undefined: there is none, which `device = auto` allows. */
  private async connection(kernel: KernelSide, wanted: string): Promise<StoredSocket | undefined> {
    if (this.index === undefined) return this.connect(kernel, wanted);
    const fd = await kernel.devices.reconnect(this.exported(), this.index, KERNEL_RECONNECT_MS);
    return { fd, unread: NOTHING_READ };
  }

  private async takeOver(kernel: KernelSide, index: number): Promise<StoredSocket> {
    const kept = await kernel.sockets.take(this.core.name);
    if (kept !== undefined) {
      kernel.devices.adopt(index);
      return kept;
    }
    const fd = await kernel.devices.reconnect(this.exported(), index, KERNEL_RECONNECT_MS);
    return { fd, unread: NOTHING_READ };
  }

  private async connect(kernel: KernelSide, wanted: string): Promise<StoredSocket | undefined> {
    const auto = wanted === 'auto';
    const why = await kernel.devices.whyNone();
    if (why !== undefined) {
      this.doWithout(kernel, auto, new MirrorError('Failed', why));
      return;
    }
    const index = auto ? undefined : Number(wanted.slice('/dev/nbd'.length));
    try {
      const made = await kernel.devices.connect(this.exported(), index);
      this.index = made.index;
      return { fd: made.fd, unread: NOTHING_READ };
    } catch (error) {
      const known = toMirrorError(error);
      if (known.code !== 'NotAuthorized') throw known;
      this.doWithout(kernel, auto, known);
      return;
    }
  }

  private doWithout(kernel: KernelSide, allowed: boolean, why: MirrorError): undefined {
    const { name, config } = this.core;
    if (allowed) {
      kernel.onMissing(why.message);
      return;
    }
    const message = `${name} cannot have ${config.device}: ${why.message}, or use device = none`;
    throw new MirrorError(why.code, message, { cause: why });
  }

  private exported(): KernelExport {
    const { core } = this;
    const { sizeBytes, blockBytes } = core.device.metadata();
    const { disk } = core.peerConfig(core.node);
    return { resource: core.name, node: core.node, disk, sizeBytes, blockBytes };
  }

  private dropLeft(kernel: KernelSide): void {
    if (this.left !== undefined) kernel.devices.release(this.left.fd);
    this.left = undefined;
  }

  private letGo(): void {
    const { kernel } = this.core.environment;
    if (this.claimed !== undefined) kernel?.devices.release(this.claimed);
    this.claimed = undefined;
  }
}
