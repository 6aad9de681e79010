/**
 * Two copies in a simulated world without a control plane: commands go to the raw devices, one
 * after the other. For tests of the simulated world itself.
 */
import type {
  Addon,
  RawDevice,
  RawDeviceEvent,
  RawLobby,
  RawLobbyEvent,
} from '../../src/plane/addon';
import { present } from '../../src/model/assert';
import { drainMicrotasks } from './microtasks';
import { loadSimAddon } from './simAddon';
import type { SimClient, SimNode, SimWorld } from './simAddon';

export const DISK = '/disk';
export const SOCKET = '/run/r0.sock';
const MOST_US = 100_000_000;
const PORT = 7788;
const UUID = 0x1230n;

export class BareCopy {
  readonly events: RawDeviceEvent[] = [];
  readonly lobbyEvents: RawLobbyEvent[] = [];
  device: RawDevice | undefined;
  private lobbyOfLife: RawLobby | undefined;
  private addonOfLife: Addon | undefined;
  private lastTicket = 0;

  constructor(
    readonly pair: BarePair,
    readonly node: SimNode,
    readonly address: string,
    readonly peer: string,
  ) {
    node.addDisk(DISK, pair.diskBytes, 512);
  }

  boot(): void {
    this.events.length = this.lobbyEvents.length = 0;
    this.addonOfLife = this.node.boot();
    this.lobbyOfLife = new this.addonOfLife.Lobby((event) => this.lobbyEvents.push(event));
  }

  get addon(): Addon {
    return present(this.addonOfLife, 'a life');
  }

  get lobby(): RawLobby {
    return present(this.lobbyOfLife, 'a life');
  }

  attach(): void {
    const spec = {
      resource: 'r0',
      node: this.node.name,
      disk: DISK,
      metaDisk: 'internal',
      peers: [this.peer],
      protocol: 'C',
      alExtents: 2,
      timeoutMs: 500,
      onIoError: 'detach',
      diskTimeoutMs: 0,
      cMaxKibPerSecond: 0,
      cMinKibPerSecond: 250,
      claimTimeoutMs: 1000,
    };
    const device = new this.addon.Device(spec as never, (event) => this.events.push(event));
    this.device = device;
    this.pair.until(() => this.has('attached'));
    device.supplyUuids([0x5550n, 0x6660n, 0x7770n]);
  }

  has(type: RawDeviceEvent['type']): boolean {
    return this.events.some((event) => event.type === type);
  }

  /** Runs a command to its end. */
  command(start: (device: RawDevice, ticket: number) => boolean): void {
    const ticket = ++this.lastTicket;
    expect(start(present(this.device, 'a device'), ticket)).toBe(true);
    const ended = (event: RawDeviceEvent): boolean =>
      event.type === 'completed' && event.ticket === ticket;
    this.pair.until(() => this.events.some(ended));
    expect(this.events.find(ended)).toMatchObject({ code: '' });
  }

  becomePrimary(): void {
    this.command((device, ticket) => device.updateMetadata(ticket, { primaryIndicator: true }));
    this.command((device, ticket) => device.serve(ticket, SOCKET, 'r0'));
  }
}

export class BarePair {
  readonly world: SimWorld;
  readonly alpha: BareCopy;
  readonly beta: BareCopy;
  readonly diskBytes = 8 << 20;

  constructor(seed: bigint, trace = false) {
    this.world = new (loadSimAddon().World)(seed, { trace });
    const [alpha, beta] = ['192.0.2.1', '192.0.2.2'];
    this.alpha = new BareCopy(this, this.world.addNode('alpha', [alpha]), alpha, 'beta');
    this.beta = new BareCopy(this, this.world.addNode('beta', [beta]), beta, 'alpha');
  }

  /** Fresh metadata, attached; alpha UpToDate and Primary. */
  async begin(): Promise<void> {
    for (const copy of [this.alpha, this.beta]) {
      copy.boot();
      const { node } = copy;
      const made = await copy.addon.createMetadata({
        resource: 'r0',
        node: node.name,
        disk: DISK,
        metaDisk: 'internal',
        maxPeers: 7,
        force: false,
      } as never);
      if (copy === this.alpha) this.world.model.setDevice(Number(made.sizeBytes));
      copy.attach();
    }
    this.alpha.command((device, ticket) =>
      device.updateMetadata(ticket, {
        currentUuid: UUID,
        consistent: true,
        wasUpToDate: true,
      }),
    );
    this.alpha.becomePrimary();
  }

  /** A connection over the lobbies; answers alpha's and beta's descriptors. */
  dial(timeoutMs = 1000): number {
    const { alpha, beta } = this;
    if (beta.lobbyEvents.length === 0) beta.lobby.listen(beta.address, PORT);
    return alpha.lobby.dial({
      host: beta.address,
      port: PORT,
      timeoutMs,
      hello: '{"hello":true}',
      sndbufBytes: 0,
      rcvbufBytes: 0,
    });
  }

  /** Connects both and resyncs beta from alpha. */
  mirror(): void {
    const { alpha, beta } = this;
    const socket = this.dial();
    this.until(() => alpha.lobbyEvents.length > 0 && beta.lobbyEvents.length > 0);
    const accepted = present(beta.lobbyEvents[0], 'a connection');
    const ends = [alpha.lobby.take(socket), beta.lobby.take(accepted.socket)];
    [alpha, beta].forEach((copy, index) => {
      const fd = present(ends[index], 'a descriptor');
      copy.command((device, ticket) => device.connectLink(ticket, 0, fd, 1));
    });
    const peer = {
      peerDiskless: false,
      peerCurrentUuid: UUID as never,
      peerHistoryUuids: [],
      peerWriteSequence: 0n,
      peerCrashed: false,
      peerCrashedPrimary: false,
      peerCrashedMachine: false,
    };
    const plan = { exchangeBitmaps: true, compare: false, ...peer };
    alpha.command((device, ticket) =>
      device.establish(ticket, 0, 1, { ...plan, resync: 'source' }),
    );
    beta.command((device, ticket) => device.establish(ticket, 0, 1, { ...plan, resync: 'target' }));
    this.until(() => alpha.has('resyncFinished'));
  }

  client(habits = {}): SimClient {
    const client = this.world.addClient({ depth: 4, largeOneIn: 400, pauseUs: 300, ...habits });
    expect(client.connect(this.alpha.node, SOCKET, 0)).toBe(true);
    client.start();
    return client;
  }

  until(condition: () => boolean): void {
    const endUs = this.world.nowUs() + MOST_US;
    while (!condition()) {
      const end = this.world.run(endUs);
      if (end !== 'event') throw new Error(`waited for nothing: ${end} ${this.world.violation()}`);
      drainMicrotasks();
    }
  }

  /** Runs for a while. */
  pass(us: number): void {
    const endUs = this.world.nowUs() + us;
    for (let end = this.world.run(endUs); end !== 'time'; end = this.world.run(endUs)) {
      if (end === 'violation') throw new Error(this.world.violation());
      if (end === 'idle') return;
      drainMicrotasks();
    }
  }

  /** Runs until so many requests were answered. */
  operations(count: number): void {
    const wanted = this.world.operations() + count;
    for (let tries = 0; tries < 10_000 && this.world.operations() < wanted; tries++) this.pass(500);
    expect(this.world.operations()).toBeGreaterThanOrEqual(wanted);
  }
}
