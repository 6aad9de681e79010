/**
 * One attached copy over the addon: commands become tickets that the data plane's thread
 * completes, in order with the events.
 *
 * Every promise is settled by `completed` or, at the latest, by `ended`, the thread's last word.
 */
import { readFileSync, rmSync } from 'node:fs';
import { MirrorError } from '../model/errors';
import type { Addon, RawDevice, RawDeviceEvent } from './addon';
import {
  checkAttach,
  checkControlText,
  checkDeviceOptions,
  checkIncarnation,
  checkName,
  checkPath,
  checkSlot,
  checkUuid,
} from './checks';
import { makeCounters, readCounters } from './counters';
import { DISK_CODES, completionError, toPlaneError } from './nativeErrors';
import type { ErrnoCodes } from './nativeErrors';
import type { EstablishPlan } from './establishPlan';
import type {
  AttachSpec,
  DeviceEvent,
  DeviceOptions,
  DevicePlane,
  DeviceStatistics,
  Metadata,
  MetadataPatch,
  ServeSpec,
  Slot,
  WireSocket,
} from './plane';
import type { StoredSocket } from './socketStore';

const LINK_CODES: ErrnoCodes = { ESTALE: 'NotConnected', ECONNRESET: 'NotConnected' };
const METADATA_CODES: ErrnoCodes = { ESTALE: 'InTransition', EINVAL: 'InvalidArgs' };
const PARK_CODES: ErrnoCodes = { ENOTCONN: 'NotConnected', EALREADY: 'InTransition' };
const NO_CODES: ErrnoCodes = {};

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: MirrorError) => void;
  readonly failure: (errno: string, detail: string) => MirrorError;
}

export interface DeviceHost {
  readonly addon: Addon;
  /** The descriptor of a connection, -1 when it is gone. */
  readonly take: (socket: WireSocket) => number;
  readonly onWarnings: (warnings: readonly string[]) => void;
}

export class NativeDevice implements DevicePlane {
  private readonly raw: RawDevice;
  private readonly waiting = new Map<number, Waiting>();
  private lastTicket = 0;
  private attaching: { resolve: () => void; reject: (error: MirrorError) => void } | undefined;
  private closing: Promise<void> | undefined;
  private onEnded: ((error: MirrorError | undefined) => void) | undefined;
  private ended = false;
  private servedPath: string | undefined;
  private options: DeviceOptions;
  private readonly counters = makeCounters();
  private known: { readonly revision: number; readonly metadata: Metadata } | undefined;

  private constructor(
    private readonly host: DeviceHost,
    private readonly spec: AttachSpec,
    private readonly onEvent: (event: DeviceEvent) => void,
  ) {
    this.options = spec;
    this.raw = new host.addon.Device(spec, (event) => this.receive(event));
  }

  static async attach(
    host: DeviceHost,
    spec: AttachSpec,
    onEvent: (event: DeviceEvent) => void,
  ): Promise<NativeDevice> {
    checkAttach(spec);
    const device = NativeDevice.start(host, spec, onEvent);
    await new Promise<void>((resolve, reject) => {
      device.attaching = { resolve, reject };
      device.updateKeepAlive();
    });
    host.onWarnings(device.raw.warnings());
    return device;
  }

  private static start(
    host: DeviceHost,
    spec: AttachSpec,
    onEvent: (event: DeviceEvent) => void,
  ): NativeDevice {
    try {
      return new NativeDevice(host, spec, onEvent);
    } catch (error) {
      throw toPlaneError(error, NO_CODES);
    }
  }

  metadata(): Metadata {
    const revision = this.raw.metadataRevision();
    if (this.known?.revision !== revision) {
      this.known = { revision, metadata: this.raw.metadata() };
    }
    return this.known.metadata;
  }

  statistics(): DeviceStatistics {
    this.raw.statistics(this.counters);
    return readCounters(this.counters);
  }

  async connectLink(slot: Slot, socket: WireSocket, incarnation: number): Promise<void> {
    checkSlot(slot);
    checkIncarnation(incarnation);
    this.checkOpen();
    const fd = this.host.take(socket);
    if (fd < 0) {
      throw new MirrorError('NotConnected', `the connection to ${socket.remoteAddress} is gone`);
    }
    await this.command('taking over the connection', LINK_CODES, (ticket) =>
      this.raw.connectLink(ticket, slot, fd, incarnation),
    );
  }

  closeLink(slot: Slot, incarnation: number): void {
    checkSlot(slot);
    checkIncarnation(incarnation);
    this.raw.closeLink(slot, incarnation);
  }

  sendControl(slot: Slot, incarnation: number, text: string): void {
    checkSlot(slot);
    checkIncarnation(incarnation);
    checkControlText(text);
    // A link that lost a frame cannot go on.
    if (!this.raw.sendControl(slot, incarnation, text)) this.raw.closeLink(slot, incarnation);
  }

  async establish(slot: Slot, incarnation: number, plan: EstablishPlan): Promise<void> {
    checkSlot(slot);
    checkIncarnation(incarnation);
    checkUuid(plan.peerCurrentUuid);
    plan.peerHistoryUuids.forEach(checkUuid);
    await this.command('establishing the replication', LINK_CODES, (ticket) =>
      this.raw.establish(ticket, slot, incarnation, plan),
    );
  }

  pauseResync(slot: Slot, paused: boolean): void {
    checkSlot(slot);
    this.raw.pauseResync(slot, paused);
  }

  async serve(spec: ServeSpec): Promise<void> {
    checkPath('socket', spec.socketPath);
    checkName("export's name", spec.exportName);
    this.checkOpen();
    if (this.servedPath !== undefined) {
      throw new MirrorError('InTransition', `${this.spec.resource} is served already`);
    }
    try {
      await this.command('serving', NO_CODES, (ticket) => {
        const accepted = this.raw.serve(ticket, spec.socketPath, spec.exportName);
        this.servedPath = spec.socketPath;
        return accepted;
      });
    } catch (error) {
      this.removeSocket();
      throw toPlaneError(error, DISK_CODES);
    }
  }

  async serveKernel({ fd, unread }: StoredSocket): Promise<void> {
    this.checkOpen();
    await this.command('serving the kernel', NO_CODES, (ticket) =>
      this.raw.serveKernel(ticket, fd, unread),
    );
  }

  async parkKernel(): Promise<StoredSocket> {
    await this.command('parking the kernel', PARK_CODES, (ticket) => this.raw.parkKernel(ticket));
    return this.raw.takeParked();
  }

  async withdraw(force: boolean): Promise<void> {
    const failure = (errno: string, detail: string): MirrorError =>
      errno === 'EBUSY' ? this.inUse() : completionError('withdrawing', errno, detail, NO_CODES);
    await this.issue((ticket) => this.raw.withdraw(ticket, force), failure);
    this.removeSocket();
  }

  async updateMetadata(patch: MetadataPatch): Promise<Metadata> {
    checkPatch(patch);
    await this.command('updating the metadata', METADATA_CODES, (ticket) =>
      this.raw.updateMetadata(ticket, patch),
    );
    return this.raw.metadata();
  }

  async detachDisk(force: boolean): Promise<void> {
    await this.command('detaching', DISK_CODES, (ticket) => this.raw.detach(ticket, force));
  }

  async attachDisk(): Promise<Metadata> {
    this.checkOpen();
    const disks = await this.raw.claimDisks().catch((error: unknown) => {
      throw toPlaneError(error, DISK_CODES);
    });
    await this.command('attaching', DISK_CODES, (ticket) => this.raw.attach(ticket, disks));
    return this.raw.metadata();
  }

  supplyUuids(uuids: readonly bigint[]): void {
    uuids.forEach(checkUuid);
    this.raw.supplyUuids(uuids);
  }

  suspendOnLoss(on: boolean): void {
    this.raw.suspendOnLoss(on);
  }

  resume(slot: Slot, incarnation: number): void {
    checkSlot(slot);
    checkIncarnation(incarnation);
    this.raw.resume(slot, incarnation);
  }

  resumeAll(): void {
    this.raw.resumeAll();
  }

  setOptions(options: Partial<DeviceOptions>): void {
    const next = { ...this.options, ...options };
    checkDeviceOptions(next);
    this.options = next;
    this.raw.setOptions(next);
  }

  close(): Promise<void> {
    this.closing ??= this.end();
    return this.closing;
  }

  private async end(): Promise<void> {
    if (this.ended) return;
    const error = await new Promise<MirrorError | undefined>((resolve) => {
      this.onEnded = resolve;
      this.updateKeepAlive();
      this.raw.stop();
    });
    if (error !== undefined) throw error;
  }

  private command(
    what: string,
    codes: ErrnoCodes,
    start: (ticket: number) => boolean,
  ): Promise<void> {
    return this.issue(start, (errno, detail) => completionError(what, errno, detail, codes));
  }

  private async issue(
    start: (ticket: number) => boolean,
    failure: Waiting['failure'],
  ): Promise<void> {
    this.checkOpen();
    const ticket = ++this.lastTicket;
    if (!start(ticket)) {
      throw new MirrorError('InTransition', `${this.spec.resource} is closing or overloaded`);
    }
    await new Promise<void>((resolve, reject) => {
      this.waiting.set(ticket, { resolve, reject, failure });
      this.updateKeepAlive();
    });
  }

  private checkOpen(): void {
    if (!this.ended && this.closing === undefined) return;
    throw new MirrorError('InTransition', `${this.spec.resource} is detached or detaching`);
  }

  private receive(event: RawDeviceEvent): void {
    switch (event.type) {
      case 'attached':
        this.attaching?.resolve();
        this.attaching = undefined;
        this.updateKeepAlive();
        return;
      case 'completed':
        this.complete(event.ticket, event.code, event.detail);
        return;
      case 'ended':
        this.finish(event);
        return;
      default:
        this.onEvent(event);
    }
  }

  private complete(ticket: number, errno: string, detail: string): void {
    const waiting = this.waiting.get(ticket);
    this.waiting.delete(ticket);
    this.updateKeepAlive();
    if (errno === '') waiting?.resolve();
    else waiting?.reject(waiting.failure(errno, detail));
  }

  private finish(event: RawDeviceEvent & { readonly type: 'ended' }): void {
    this.ended = true;
    this.removeSocket();
    const failed = event.code !== '';
    const code = DISK_CODES[event.code] ?? 'Failed';
    const error = failed ? new MirrorError(code, event.message) : undefined;
    const detached = new MirrorError('InTransition', `${this.spec.resource} is detached`);
    const left = [...this.waiting.values()];
    this.waiting.clear();
    this.attaching?.reject(error ?? detached);
    for (const one of left) one.reject(error ?? detached);
    this.onEnded?.(error);
  }

  private updateKeepAlive(): void {
    const ending = this.onEnded !== undefined && !this.ended;
    this.raw.keepAlive(this.attaching !== undefined || ending || this.waiting.size > 0);
  }

  private removeSocket(): void {
    if (this.servedPath === undefined) return;
    rmSync(this.servedPath, { force: true });
    this.servedPath = undefined;
  }

  private inUse(): MirrorError {
    const pids = [...new Set(this.statistics().clientPids)];
    const clients = pids.length === 0 ? 'a client' : pids.map(describeProcess).join(', ');
    const message = `${this.spec.resource} is in use by ${clients}: end that first`;
    return new MirrorError('DeviceInUse', message);
  }
}

function describeProcess(pid: number): string {
  if (pid <= 0) return 'a client of unknown process';
  try {
    return `${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()} (pid ${pid})`;
  } catch {
    return `pid ${pid}`;
  }
}

function checkPatch(patch: MetadataPatch): void {
  if (patch.ifCurrentUuid !== undefined) checkUuid(patch.ifCurrentUuid);
  if (patch.currentUuid !== undefined) checkUuid(patch.currentUuid);
  patch.addHistory?.forEach(checkUuid);
  for (const peer of patch.peers ?? []) {
    checkSlot(peer.slot);
    if (peer.bitmapUuid !== undefined) checkUuid(peer.bitmapUuid);
    if (peer.generation !== undefined) checkUuid(peer.generation);
  }
}
