/**
 * The C++ addon as TypeScript sees it (native/bind). Only nativePlane.ts loads it; its arguments
 * are validated before they get here.
 *
 * Methods that can fail throw or reject with an Error whose `code` is an errno's name. Commands
 * take a ticket above 0 and answer whether they were accepted; `completed` follows, unless
 * `ended` comes first.
 */
import type { EstablishPlan } from './establishPlan';
import type {
  AttachSpec,
  CreateMetadataSpec,
  DeviceEvent,
  DeviceOptions,
  DialSpec,
  DiskInfo,
  Metadata,
  MetadataPatch,
} from './plane';

import type { KernelDeviceSpec, KernelDeviceState } from './kernelDriver';
import type {
  MetadataDump,
  MetadataPlan,
  GrowthReport,
  GrowthSpec,
  RepairReport,
  RepairSpec,
  RestoreSpec,
} from './metadataTools';
import type { StoredSocket } from './socketStore';

export type RawDeviceEvent =
  | DeviceEvent
  | { readonly type: 'attached' }
  /** `code`: an errno's name, empty when it went well; `detail`: which step failed. */
  | {
      readonly type: 'completed';
      readonly ticket: number;
      readonly code: string;
      readonly detail: string;
    }
  /** The last event: the disks are closed. `code`, `message`: why, unless it was asked for. */
  | {
      readonly type: 'ended';
      readonly wasAttached: boolean;
      readonly code: string;
      readonly message: string;
    };

/** Disks on their way to the data plane; opaque. */
export interface ClaimedDisks {
  readonly disks: unknown;
}

export interface RawDevice {
  connectLink(ticket: number, slot: number, fd: number, incarnation: number): boolean;
  closeLink(slot: number, incarnation: number): void;
  sendControl(slot: number, incarnation: number, text: string): boolean;
  establish(ticket: number, slot: number, incarnation: number, plan: EstablishPlan): boolean;
  pauseResync(slot: number, paused: boolean): void;
  /** Creates the socket, or throws. */
  serve(ticket: number, socketPath: string, exportName: string): boolean;
  /** The descriptor is taken over. */
  serveKernel(ticket: number, fd: number, unread: Uint8Array): boolean;
  /** takeParked() answers what it left when it went well. */
  parkKernel(ticket: number): boolean;
  takeParked(): StoredSocket;
  withdraw(ticket: number, force: boolean): boolean;
  /** Claims the disks again: what attach() takes. */
  claimDisks(): Promise<ClaimedDisks>;
  attach(ticket: number, disks: ClaimedDisks): boolean;
  detach(ticket: number, force: boolean): boolean;
  updateMetadata(ticket: number, patch: MetadataPatch): boolean;
  supplyUuids(uuids: readonly bigint[]): void;
  setOptions(options: DeviceOptions): void;
  suspendOnLoss(on: boolean): void;
  resume(slot: number, incarnation: number): void;
  resumeAll(): void;
  /** Ends the attempt to attach, or closes; `ended` follows. */
  stop(): void;
  /** Whether the process may not end by itself meanwhile. */
  keepAlive(keep: boolean): void;
  /** From `attached` on. */
  metadata(): Metadata;
  /** Another number means that metadata() has changed. */
  metadataRevision(): number;
  /** Fills makeCounters() of counters.ts. */
  statistics(counters: BigUint64Array): void;
  /** What the system did not permit, from `attached` on. */
  warnings(): string[];
}

export type RawLobbyEvent =
  | {
      readonly type: 'accepted';
      readonly listener: number;
      readonly socket: number;
      readonly remoteAddress: string;
      readonly hello: string;
    }
  /** `code` is empty when it is connected and the hello is sent. */
  | {
      readonly type: 'dialled';
      readonly socket: number;
      readonly remoteAddress: string;
      readonly code: string;
      readonly message: string;
    };

export interface RawLobby {
  listen(host: string, port: number): { readonly id: number; readonly address: string };
  closeListener(listener: number): void;
  /** `dialled` follows. */
  dial(spec: DialSpec): number;
  /** The descriptor, now the caller's; -1 when the socket is gone. */
  take(socket: number): number;
  closeSocket(socket: number): void;
  setBuffers(socket: number, sndbufBytes: number, rcvbufBytes: number): void;
  refuse(socket: number, text: string): void;
  keepAlive(keep: boolean): void;
  close(): void;
}

export interface Addon {
  readonly Device: new (spec: AttachSpec, onEvent: (event: RawDeviceEvent) => void) => RawDevice;
  readonly Lobby: new (onEvent: (event: RawLobbyEvent) => void) => RawLobby;
  inspectDisk(path: string): Promise<DiskInfo>;
  createMetadata(spec: CreateMetadataSpec): Promise<Metadata>;
  /** `metaDisk`: empty when internal. */
  readMetadata(disk: string, metaDisk: string): Promise<Metadata>;
}

export interface RawNotice {
  readonly state: string;
  readonly fd: number;
}

/** What the service alone uses. */
export interface ServiceAddon {
  /** Of sd_notify(3); answers an errno's name, empty when it was sent. */
  notifyManager(address: string, state: string): string;
  /** The manager keeps a copy under that name; answers as notifyManager does. */
  storeDescriptor(address: string, name: string, fd: number): string;
  /** Resolves when the manager has acted on all that was sent. */
  waitForManager(address: string, timeoutMs: number): Promise<unknown>;
  /** A socket that receives what is sent like this, made anew at the path; or throws. */
  bindNotices(path: string): number;
  /** The next one; `fd` is the caller's, -1: it came without. Rejects when none comes in time. */
  receiveNotice(socket: number, timeoutMs: number): Promise<RawNotice>;
  /** A descriptor of bytes in memory, or throws. */
  keepBytes(bytes: Uint8Array): number;
}

/** Kernel devices (native/bind/kernel_work). */
export interface KernelAddon {
  nbdStatus(): Promise<readonly KernelDeviceState[]>;
  nbdConnect(spec: KernelDeviceSpec): Promise<{ readonly fd: number }>;
  nbdReconfigure(spec: KernelDeviceSpec): Promise<{ readonly fd: number }>;
  nbdDisconnect(index: number): Promise<unknown>;
  claimBlockDevice(path: string): Promise<{ readonly fd: number }>;
}

/** The rest of it, which the command line alone uses. */
export interface MetadataAddon {
  planMetadata(spec: CreateMetadataSpec): Promise<MetadataPlan>;
  /** `metaDisk`: empty when internal. */
  dumpMetadata(
    disk: string,
    metaDisk: string,
    unclaimed: boolean,
    resource: string,
  ): Promise<MetadataDump>;
  restoreMetadata(spec: RestoreSpec): Promise<Metadata>;
  repairMetadata(spec: RepairSpec): Promise<RepairReport>;
  growCopy(spec: GrowthSpec): Promise<GrowthReport>;
}

export type WholeAddon = Addon & ServiceAddon & KernelAddon & MetadataAddon;

/** What require() answered, which knows no types. */
export function asAddon(loaded: unknown): WholeAddon {
  return loaded as WholeAddon;
}
