/**
 * Kernel devices of this machine for the resources of one service: finds a free one, makes it
 * known to udev, connects it, and ends it when nobody uses it.
 *
 * Each has an identifier by which a later process of the service finds it again. What udev and
 * sysfs do is kernelTree.ts's.
 */
import type { Clock } from '../model/clock';
import { MirrorError, toMirrorError } from '../model/errors';
import type { NodeName, ResourceName } from '../model/states';
import type { KernelDeviceSpec, KernelDriver } from './kernelDriver';
import type { KernelTree } from './kernelTree';
import { claimsOf, openersOf } from './kernelUse';

/** How long requests wait for a service that is away; then they fail. */
export const DEAD_WAIT_SECONDS = 300;
/** udev may be busy; then the link is made here. */
const LINK_PATIENCE_MS = 10_000;
/** Programs of udev look at a device for a moment. */
const OPENER_PATIENCE_MS = 2000;
const LOOK_INTERVAL_MS = 20;
/** Of the identifier of every device of ours. */
const PREFIX = 'blkmirror:';
/** Indexes tried for a free device. */
const MAX_INDEXES = 4096;

export interface KernelExport {
  readonly resource: ResourceName;
  readonly node: NodeName;
  /** The backing disk, for its name by-disk. */
  readonly disk: string;
  readonly sizeBytes: bigint;
  readonly blockBytes: number;
}

/** A connected device with this end of its connection, the caller's. */
export interface KernelConnection {
  readonly index: number;
  readonly fd: number;
}

export interface KernelDevicesOptions {
  readonly driver: KernelDriver;
  readonly tree: KernelTree;
  readonly clock: Clock;
  /** Loads the kernel's nbd; rejects where it cannot. */
  readonly loadModule: () => Promise<void>;
}

export class KernelDevices {
  /** Being connected, or connected, by this service. */
  private readonly taken = new Set<number>();
  private loading: Promise<void> | undefined;

  constructor(private readonly options: KernelDevicesOptions) {}

  get tree(): KernelTree {
    return this.options.tree;
  }

  /** Loads nbd where that is needed. undefined: there is one, else why not. */
  async whyNone(): Promise<string | undefined> {
    const before = await this.tryDriver();
    if (before === undefined) return undefined;
    this.loading ??= this.options.loadModule().catch(() => undefined);
    await this.loading;
    return this.tryDriver();
  }

  /** What a former process of this service left connected. */
  tryFind(resource: ResourceName, node: NodeName): number | undefined {
    const wanted = identifierOf(resource, node);
    return this.waiting().find((index) => this.tree.tryIdentifier(index) === wanted);
  }

  /** Somebody waits for a service like this one. */
  get anyWaits(): boolean {
    return this.waiting().some((index) => this.tree.tryIdentifier(index)?.startsWith(PREFIX));
  }

  /** `index`: undefined takes a free one. @throws DeviceInUse, NotFound, NotAuthorized, Failed */
  async connect(exported: KernelExport, index: number | undefined): Promise<KernelConnection> {
    const candidates = index === undefined ? await this.freeIndexes() : [index];
    for (const candidate of candidates) {
      if (this.taken.has(candidate)) continue;
      this.taken.add(candidate);
      try {
        return await this.connectAt(exported, candidate);
      } catch (error) {
        this.taken.delete(candidate);
        const busy = toMirrorError(error).code === 'DeviceInUse';
        if (!busy || index !== undefined) throw error;
      }
    }
    throw new MirrorError('DeviceInUse', noneFree(exported, index, this.tree));
  }

  /** A new connection for a device whose old one is dead; waits for its death. */
  async reconnect(exported: KernelExport, index: number, patienceMs: number): Promise<number> {
    this.taken.add(index);
    const end = this.options.clock.nowMs() + patienceMs;
    for (;;) {
      try {
        const fd = await this.options.driver.reconfigure(specOf(exported, index));
        this.tree.announce(index, exported.resource, exported.disk);
        return fd;
      } catch (error) {
        if (toMirrorError(error).code !== 'InTransition' || this.options.clock.nowMs() >= end)
          throw error;
      }
      await this.later();
    }
  }

  /** Its connection is kept; this service knows of it again. */
  adopt(index: number): void {
    this.taken.add(index);
  }

  /** It is no longer this service's, whoever has it now. */
  forget(index: number): void {
    this.taken.delete(index);
  }

  /** Resolves when the link of the resource is there. */
  async whenLinked(exported: KernelExport, index: number): Promise<void> {
    const { tree } = this;
    const linked = tree.hasUdev && (await this.seen(() => tree.isLinked(exported.resource, index)));
    if (!linked) tree.link(exported.resource, index);
  }

  /**
   * Nobody else can mount or claim the device until release(); its cache is written back.
   * @throws DeviceInUse, with who uses it
   */
  async claim(resource: ResourceName, index: number): Promise<number> {
    const path = this.tree.devicePath(index);
    const name = `/dev/nbd${index}`;
    const end = this.options.clock.nowMs() + OPENER_PATIENCE_MS;
    for (;;) {
      const claims = claimsOf(this.tree.roots, index);
      if (claims.length > 0) throw inUse(resource, claims);
      const openers = openersOf(this.tree.roots, index).map((who) => `${who} has ${name} open`);
      if (openers.length > 0 && this.options.clock.nowMs() >= end) throw inUse(resource, openers);
      if (openers.length === 0) {
        const fd = await this.tryClaim(path);
        if (fd !== undefined) return fd;
        if (this.options.clock.nowMs() >= end)
          throw inUse(resource, [`something in the kernel uses ${name}`]);
      }
      await this.later();
    }
  }

  release(fd: number): void {
    this.options.driver.close(fd);
  }

  /**
   * What waits fails. The names of the device go. While something has it open the driver still
   * takes new connections for it: without its announcement no later process makes one.
   * @throws Failed
   */
  async disconnect(resource: ResourceName, index: number): Promise<void> {
    const { tree } = this;
    tree.withdraw(index);
    await this.options.driver.disconnect(index);
    this.taken.delete(index);
    tree.tellUdev(index);
    if (tree.hasUdev) await this.seen(() => !tree.isLinked(resource, index));
    tree.unlink(resource, index);
  }

  private waiting(): readonly number[] {
    return this.tree.indexes().filter((index) => this.tree.isAnnounced(index));
  }

  private async tryDriver(): Promise<string | undefined> {
    try {
      await this.options.driver.status();
      return undefined;
    } catch (error) {
      return toMirrorError(error).message;
    }
  }

  private async connectAt(exported: KernelExport, index: number): Promise<KernelConnection> {
    if (this.tree.isConnected(index)) {
      throw new MirrorError('DeviceInUse', `${this.tree.devicePath(index)} is connected already`);
    }
    this.tree.announce(index, exported.resource, exported.disk);
    this.tree.chooseScheduler(index);
    try {
      const fd = await this.options.driver.connect(specOf(exported, index));
      return { index, fd };
    } catch (error) {
      this.tree.withdraw(index);
      this.tree.tellUdev(index);
      throw error;
    }
  }

  /** Those that exist, the lowest first, then the next: the kernel makes it. */
  private async freeIndexes(): Promise<readonly number[]> {
    const states = await this.options.driver.status();
    const known = states.map(({ index }) => index);
    const next = known.length === 0 ? 0 : Math.max(...known) + 1;
    const free = states.filter(({ connected }) => !connected).map(({ index }) => index);
    const more = Array.from({ length: this.taken.size + 1 }, (_, step) => next + step);
    return [...free.sort((a, b) => a - b), ...more].slice(0, MAX_INDEXES);
  }

  /** Whether it came true in time. */
  private async seen(condition: () => boolean): Promise<boolean> {
    const end = this.options.clock.nowMs() + LINK_PATIENCE_MS;
    while (!condition()) {
      if (this.options.clock.nowMs() >= end) return false;
      await this.later();
    }
    return true;
  }

  private later(): Promise<void> {
    return new Promise((resolve) => {
      this.options.clock.after(LOOK_INTERVAL_MS, resolve);
    });
  }

  private async tryClaim(path: string): Promise<number | undefined> {
    try {
      return await this.options.driver.claim(path);
    } catch (error) {
      if (toMirrorError(error).code === 'DeviceInUse') return undefined;
      throw error;
    }
  }
}

function identifierOf(resource: ResourceName, node: NodeName): string {
  return `${PREFIX}${node}:${resource}`;
}

function specOf(exported: KernelExport, index: number): KernelDeviceSpec {
  const { resource, node, sizeBytes, blockBytes } = exported;
  const identifier = identifierOf(resource, node);
  return { index, sizeBytes, blockBytes, deadWaitSeconds: DEAD_WAIT_SECONDS, identifier };
}

function inUse(resource: ResourceName, who: readonly string[]): MirrorError {
  const message = `${resource} is in use: ${who.join(', ')}; end that first`;
  return new MirrorError('DeviceInUse', message);
}

function noneFree(exported: KernelExport, index: number | undefined, tree: KernelTree): string {
  if (index === undefined) return `no free nbd device for ${exported.resource}`;
  return `${tree.devicePath(index)} is used by another resource: choose another device`;
}
