/**
 * One simulated machine: a daemon's control plane over a simulated node, as the service would
 * have it (ports, hello routing, one resource), with a life that ends with each crash.
 *
 * Commands are promises of the real Resource; `pending` tells those that have not ended.
 */
import type { Logger } from 'pino';
import type { ResourceConfig, NodeConfig } from '../../src/config/types';
import { present } from '../../src/model/assert';
import type { HandlerCall, HandlerEnd } from '../../src/model/handlers';
import { toMirrorError } from '../../src/model/errors';
import type { MirrorError } from '../../src/model/errors';
import { formatUuid } from '../../src/model/states';
import type { EstablishPlan } from '../../src/plane/establishPlan';
import type { Metadata, PeerStatistics, Plane, Slot } from '../../src/plane/plane';
import { openNativePlane } from '../../src/plane/nativePlane';
import type { Core, Environment } from '../../src/resource/core';
import type { DeviceChange } from '../../src/resource/device';
import { Resource } from '../../src/resource/resource';
import { isAttached, UNKNOWN_PEER } from '../../src/rules/transitions';
import type { PeerState, ResourceState } from '../../src/rules/transitions';
import { Ports } from '../../src/service/ports';
import type { Dice } from './dice';
import type { KernelLeft } from './kernelLeft';
import { Mailbox } from './mailbox';
import type { SimNode } from './simAddon';
import { ProcessClock } from './timeline';
import type { Timeline } from './timeline';

const QUIET: Pick<Logger, 'info'> = { info: () => undefined };

const FORCED = 'promote --force';

export interface MachineHost {
  readonly timeline: Timeline;
  readonly dice: Dice;
  readonly nowUs: () => number;
  readonly say: (text: string) => void;
  readonly runHandler: (machine: Machine, call: HandlerCall) => Promise<HandlerEnd>;
  readonly onChange: (machine: Machine, change: DeviceChange) => void;
  /** Its data plane is told that the peer receives writes from here on. */
  readonly onEstablish: (machine: Machine, peer: string, plan: EstablishPlan) => void;
}

export interface Pending {
  readonly name: string;
  readonly sinceUs: number;
}

/** One daemon process. */
interface Life {
  readonly plane: Plane;
  readonly clock: ProcessClock;
  readonly mailbox: Mailbox;
  readonly environment: Environment;
  readonly ports: Ports;
}

export class Machine {
  readonly name: string;
  readonly pending = new Set<Pending>();
  /** What up() last ended with. */
  failure: MirrorError | undefined;
  paused = false;
  stalled = false;
  /** What its killed daemon served; the next one finds it. */
  kernel: KernelLeft | undefined;
  private life: Life | undefined;
  private bootId = 1n;
  private up: { readonly resource: Resource; readonly stopListening: () => void } | undefined;
  private readonly places = new Map<string, bigint>();
  private readonly slots = new Map<string, Slot>();

  constructor(
    private readonly host: MachineHost,
    readonly node: SimNode,
    public config: ResourceConfig,
  ) {
    this.name = node.name;
  }

  get place(): NodeConfig {
    return present(
      this.config.nodes.find((node) => node.name === this.name),
      `${this.name} is configured`,
    );
  }

  /** The daemon runs. */
  get running(): boolean {
    return this.life !== undefined;
  }

  /** The daemon runs and does what it is told. */
  get alive(): boolean {
    return this.running && !this.paused && !this.stalled;
  }

  get isUp(): boolean {
    return this.up !== undefined;
  }

  get resource(): Resource {
    return present(this.up, `${this.name} is up`).resource;
  }

  get plane(): Plane {
    return present(this.life, `${this.name} runs`).plane;
  }

  get socketPath(): string {
    return `/run/${this.config.name}.sock`;
  }

  /** What its resource believes; undefined while it is not up. */
  get state(): ResourceState | undefined {
    return this.up === undefined ? undefined : coreOf(this.up.resource).gate.snapshot();
  }

  /** Its resource has a copy of its own. */
  get hasDisk(): boolean {
    const { state } = this;
    return state !== undefined && isAttached(state.diskState);
  }

  get isPrimary(): boolean {
    return this.state?.role === 'Primary';
  }

  /** Its data plane uses its disk; JavaScript that stalls does not know yet when it does not. */
  get usesDisk(): boolean {
    return this.hasDisk && coreOf(this.resource).device.statistics().exposedUuid === 0n;
  }

  /** What its copy is may be declared anew, by force. */
  get isPromoting(): boolean {
    return coreOf(this.resource).promoting;
  }

  /** Of its copy, while it is up. */
  metadata(): Metadata {
    return coreOf(this.resource).device.metadata();
  }

  peer(other: Machine): PeerState {
    const peers = this.state?.peers;
    return peers?.get(other.place.name) ?? UNKNOWN_PEER;
  }

  /** Its data plane sends writes to that peer. */
  feeds(other: Machine): boolean {
    return this.statisticsOf(other)?.receiving === true;
  }

  private peerAt(slot: Slot): string {
    return this.metadata().peers.find((peer) => peer.slot === slot)?.name ?? '';
  }

  outOfSyncBytes(other: Machine): number {
    return Number(this.statisticsOf(other)?.outOfSyncBytes ?? 0n);
  }

  /** Slots stay while it is up: looking them up costs more than all the rest. */
  private statisticsOf(other: Machine): PeerStatistics | undefined {
    const { device } = coreOf(this.resource);
    const peer = other.place.name;
    const slot = this.slots.get(peer) ?? coreOf(this.resource).slotOf(peer);
    this.slots.set(peer, slot);
    return device.statistics().peers.find((statistics) => statistics.slot === slot);
  }

  promote(force: boolean): Promise<void> {
    const name = force ? FORCED : 'promote';
    return this.command(name, () => this.resource.promote({ force }));
  }

  /** An administrator has ordered that its copy counts, whatever it is. */
  get isForced(): boolean {
    return [...this.pending].some(({ name }) => name.startsWith(FORCED));
  }

  /** Starts the daemon; up() is another step. */
  boot(): void {
    const { timeline, dice, nowUs } = this.host;
    const clock = new ProcessClock(timeline, nowUs);
    const mailbox = new Mailbox();
    const addon = mailbox.wrap(this.node.boot(), (slot, plan) => {
      this.host.onEstablish(this, this.peerAt(slot), plan);
    });
    const { kernel } = this;
    const opened = openNativePlane({ addon, onWarning: () => undefined });
    const plane = kernel?.servedBy(opened) ?? opened;
    const environment: Environment = {
      plane,
      clock,
      random: dice,
      bootNonce: formatUuid(dice.uuid()),
      bootId: this.bootId,
      runDir: '/run',
      locations: {
        tryGet: (_, disk) => this.places.get(disk),
        put: (_, disk, offset) => void this.places.set(disk, offset),
      },
      handlers: { run: (call) => this.host.runHandler(this, call) },
      resolveHost: (host) => Promise.resolve(host),
      processName: () => undefined,
      ...(kernel === undefined ? {} : { kernel: kernel.side() }),
    };
    const ports = new Ports({ plane, log: QUIET as Logger });
    this.life = { plane, clock, mailbox, environment, ports };
    this.host.say(`${this.name} starts`);
  }

  /** As `blkmirror create-md`. */
  create(force: boolean): Promise<void> {
    const { disk, metaDisk, name } = this.place;
    const { name: resource, nodes } = this.config;
    const maxPeers = Math.max(1, nodes.length - 1);
    const spec = { resource, node: name, disk, metaDisk, maxPeers, force };
    return this.command('create-md', () => this.plane.createMetadata(spec));
  }

  /** As `blkmirror up`. */
  start(): Promise<void> {
    return this.command('up', () => this.open(present(this.life, 'the daemon runs')));
  }

  /** As `blkmirror down`. */
  down(): Promise<void> {
    return this.command('down', async () => {
      if (this.up === undefined) return;
      await this.resource.down();
      this.forget();
    });
  }

  /** As SIGTERM to the daemon: clients are cut, nothing is refused, and it ends in any case. */
  end(): Promise<void> {
    return this.command('end', async () => {
      try {
        if (this.up !== undefined) await this.resource.close();
      } finally {
        this.forget();
      }
    });
  }

  /** Runs a command; it never rejects after the process has ended. */
  command(name: string, run: () => Promise<unknown>): Promise<void> {
    const { life } = this;
    const entry = { name: `${name} on ${this.name}`, sinceUs: this.host.nowUs() };
    this.pending.add(entry);
    this.host.say(`${this.name}: ${name} ...`);
    return run().then(
      () => this.settle(life, entry, name, undefined),
      (error: unknown) => this.settle(life, entry, name, toMirrorError(error)),
    );
  }

  crash(how: 'process' | 'power'): void {
    this.host.say(`${this.name} ${how === 'power' ? 'loses its power' : 'is killed'}`);
    this.life?.clock.end();
    this.life?.mailbox.close();
    this.life = this.up = undefined;
    this.slots.clear();
    this.paused = this.stalled = false;
    this.pending.clear();
    if (how === 'power') this.bootId += 1n;
    this.node.crash(how);
  }

  /** Of its process's time; for ever when that ends before. */
  rest(ms: number): Promise<void> {
    return new Promise((resolve) => void this.life?.clock.after(ms, resolve));
  }

  pause(): void {
    this.host.say(`${this.name} is stopped`);
    this.paused = true;
    this.life?.clock.stop();
    this.node.pause();
  }

  resume(): void {
    this.host.say(`${this.name} goes on`);
    this.paused = false;
    this.node.resume();
    this.life?.clock.goOn();
  }

  /** Its JavaScript stands still; its data plane goes on. */
  stall(): void {
    this.host.say(`${this.name}: JavaScript stalls`);
    this.stalled = true;
    this.life?.clock.stop();
    this.life?.mailbox.stall();
  }

  unstall(): void {
    this.host.say(`${this.name}: JavaScript goes on`);
    this.stalled = false;
    this.life?.mailbox.goOn();
    this.life?.clock.goOn();
  }

  /** Changes nothing when its process has died meanwhile. */
  private async open(life: Life): Promise<void> {
    if (this.up !== undefined) return;
    this.failure = undefined;
    const { host, port } = this.place;
    const stopListening = await life.ports.open(host, port, {
      resource: this.config.name,
      tryAccept: (connection, hello) => {
        this.up?.resource.accept(connection, hello);
        return this.up !== undefined;
      },
    });
    try {
      const resource = await this.openResource(life);
      if (this.life !== life) return;
      this.up = { resource, stopListening };
      this.host.onChange(this, { type: 'changed' });
    } catch (error) {
      stopListening();
      this.failure = toMirrorError(error);
      throw error;
    }
  }

  private openResource(life: Life): Promise<Resource> {
    return Resource.open({
      config: this.config,
      node: this.place.name,
      environment: life.environment,
      onChange: (change) => {
        if (this.life === life) this.host.onChange(this, change);
      },
    });
  }

  private forget(): void {
    this.up?.stopListening();
    this.up = undefined;
    this.slots.clear();
    this.host.onChange(this, { type: 'changed' });
  }

  private settle(
    life: Life | undefined,
    entry: Pending,
    name: string,
    error: MirrorError | undefined,
  ): void {
    this.pending.delete(entry);
    if (life !== this.life) return;
    const how = error === undefined ? 'done' : `${error.code}: ${error.message}`;
    this.host.say(`${this.name}: ${name}: ${how}`);
    if (error !== undefined) throw error;
  }
}

/** The parts of a resource, for those who check it from the outside. */
export function coreOf(resource: Resource): Core {
  return Reflect.get(resource, 'core') as Core;
}
