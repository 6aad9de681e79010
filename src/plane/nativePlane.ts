/**
 * The data plane over the C++ addon. This file alone loads the addon; native/bind is the other
 * side of it.
 */
import { closeSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorError } from '../model/errors';
import { asAddon } from './addon';
import type { Addon, RawNotice, WholeAddon } from './addon';
import { checkCreate, checkPath } from './checks';
import type { KernelDriver } from './kernelDriver';
import type { MetadataTools } from './metadataTools';
import { NativeDevice } from './nativeDevice';
import { DISK_CODES, INSPECT_CODES, toPlaneError } from './nativeErrors';
import { NativeKernel } from './nativeKernel';
import { NativeMetadata, onDisks } from './nativeMetadata';
import { NativeLobby } from './nativeLobby';
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
  SocketOptions,
  WireSocket,
} from './plane';

export interface NativePlaneOptions {
  /**
   * Told once for each thing that the system does not permit (locked memory, I/O flusher).
   * Default: a warning of the process.
   */
  readonly onWarning?: (text: string) => void;
  /** Instead of the one that the build put beside the program (a simulated node's). */
  readonly addon?: Addon;
}

/** Beside a bundle; or where the build puts it, seen from src/plane and from dist/plane. */
const ADDON_PATHS = [
  join(__dirname, 'blkmirror.node'),
  join(__dirname, '..', '..', 'native', 'build', 'Release', 'blkmirror.node'),
];

/** @throws MirrorError (Failed) when the addon is not built */
export function openNativePlane(options: NativePlaneOptions = {}): Plane {
  return new NativePlane(options.addon ?? loadAddon(), options.onWarning ?? warnProcess);
}

/** @throws MirrorError (Failed) when the addon is not built */
export function openMetadataTools(): MetadataTools {
  return new NativeMetadata(loadAddon());
}

/** The service manager's socket. What is answered is an errno's name, empty when it was sent. */
export interface ManagerSocket {
  send(state: string): string;
  /** It keeps a copy of the descriptor for the next process of the service. */
  store(name: string, fd: number): string;
  /** Resolves when it has acted on all of that. @throws an Error when it does not in time */
  settle(timeoutMs: number): Promise<unknown>;
  /** A descriptor of bytes without a file. @throws an Error */
  keepBytes(bytes: Uint8Array): number;
}

/** @throws MirrorError (Failed) when the addon is not built */
export function openManagerSocket(address: string): ManagerSocket {
  const addon = loadAddon();
  return {
    send: (state) => addon.notifyManager(address, state),
    store: (name, fd) => addon.storeDescriptor(address, name, fd),
    settle: (timeoutMs) => addon.waitForManager(address, timeoutMs),
    keepBytes: (bytes) => addon.keepBytes(bytes),
  };
}

/** What another process sends as to a service manager is received here. */
export interface NoticeSocket {
  /** The next one; `fd` is the caller's, -1: it came without. @throws an Error: none in time */
  receive(timeoutMs: number): Promise<RawNotice>;
  close(): void;
}

/** A socket file, made anew. @throws an Error, MirrorError (Failed) when the addon is not built */
export function openNoticeSocket(path: string): NoticeSocket {
  const addon = loadAddon();
  const socket = addon.bindNotices(path);
  return {
    receive: (timeoutMs) => addon.receiveNotice(socket, timeoutMs),
    close: () => closeSync(socket),
  };
}

/** @throws MirrorError (Failed) when the addon is not built */
export function openKernelDriver(): KernelDriver {
  return new NativeKernel(loadAddon());
}

function loadAddon(): WholeAddon {
  const path = ADDON_PATHS.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    const message = 'the data plane is not built: run `npm run setup` in the source tree';
    throw new MirrorError('Failed', message);
  }
  try {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    return asAddon(require(path));
  } catch (error) {
    const message = `the data plane cannot be loaded from ${path}: run \`npm run setup\``;
    throw new MirrorError('Failed', message, { cause: error });
  }
}

function warnProcess(text: string): void {
  process.emitWarning(text, 'BlkmirrorWarning');
}

class NativePlane implements Plane {
  private readonly lobby: NativeLobby;
  private readonly warned = new Set<string>();

  constructor(
    private readonly addon: Addon,
    private readonly onWarning: (text: string) => void,
  ) {
    this.lobby = new NativeLobby(addon);
  }

  async inspectDisk(path: string): Promise<DiskInfo> {
    checkPath('disk', path);
    try {
      return await this.addon.inspectDisk(path);
    } catch (error) {
      throw toPlaneError(error, INSPECT_CODES);
    }
  }

  async createMetadata(spec: CreateMetadataSpec): Promise<Metadata> {
    checkCreate(spec);
    return onDisks(this.addon.createMetadata(spec));
  }

  async readMetadata(disk: string, metaDisk: string): Promise<Metadata> {
    checkPath('disk', disk);
    checkPath('meta-disk', metaDisk);
    return onDisks(this.addon.readMetadata(disk, metaDisk === 'internal' ? '' : metaDisk));
  }

  async attach(spec: AttachSpec, onEvent: (event: DeviceEvent) => void): Promise<DevicePlane> {
    const host = {
      addon: this.addon,
      take: (socket: WireSocket) => this.lobby.take(socket),
      onWarnings: (warnings: readonly string[]) => this.warn(warnings),
    };
    try {
      return await NativeDevice.attach(host, spec, onEvent);
    } catch (error) {
      const known = toPlaneError(error, DISK_CODES);
      throw known.code === 'NotAttached' ? ((await this.tryForeign(spec)) ?? known) : known;
    }
  }

  /** Says whose metadata it is that was refused; undefined when it is the right one's, or none. */
  private async tryForeign(spec: AttachSpec): Promise<MirrorError | undefined> {
    const found = await this.readMetadata(spec.disk, spec.metaDisk).catch(() => undefined);
    if (found === undefined) return undefined;
    const { resource, node } = found;
    if (resource === spec.resource && node === spec.node) return undefined;
    const other = resource === spec.resource ? 'another node' : 'another resource';
    const place = spec.metaDisk === 'internal' ? spec.disk : spec.metaDisk;
    const message =
      `${place} holds the metadata of ${other}: of resource ${resource} on node ${node}, not of ` +
      `${spec.resource} on ${spec.node}; check the path in the configuration, or run ` +
      `create-md ${spec.resource} --force to give up what is there`;
    return new MirrorError('NotAttached', message);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- a refusal is a rejection
  async listen(
    host: string,
    port: number,
    onConnection: (connection: IncomingConnection) => void,
  ): Promise<Listener> {
    return this.lobby.listen(host, port, onConnection);
  }

  dial(spec: DialSpec): Promise<WireSocket> {
    return this.lobby.dial(spec);
  }

  setSocketOptions(socket: WireSocket, options: SocketOptions): void {
    this.lobby.setSocketOptions(socket, options);
  }

  refuse(socket: WireSocket, text: string): void {
    this.lobby.refuse(socket, text);
  }

  close(): void {
    this.lobby.close();
  }

  private warn(warnings: readonly string[]): void {
    for (const text of warnings) {
      if (this.warned.has(text)) continue;
      this.warned.add(text);
      this.onWarning(text);
    }
  }
}
