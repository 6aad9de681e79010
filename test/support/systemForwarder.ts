// A TCP forwarder on loopback that stands for the network between two nodes. Cut, it is a black
// hole: connections stay open, nothing comes through in either direction, nothing is reset, and
// new connections are taken by the kernel and never served.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

/** Counts what passes through any number of forwarders, and stops it at a given byte. */
export class Trip {
  passedBytes = 0;
  private tripped = false;

  /** `onTrip` is called once, when `limitBytes` have passed; nothing does from then on. */
  constructor(
    private readonly limitBytes: number,
    private readonly onTrip: () => void,
  ) {}

  /** The part of the chunk that may pass. */
  take(chunk: Buffer): Buffer {
    const passing = chunk.subarray(0, Math.max(0, Math.floor(this.limitBytes) - this.passedBytes));
    this.passedBytes += passing.length;
    if (this.passedBytes >= Math.floor(this.limitBytes) && !this.tripped) {
      this.tripped = true;
      this.onTrip();
    }
    return passing;
  }
}

export class Forwarder {
  private readonly pairs = new Set<Pair>();
  private readonly waiting = new Set<Socket>();
  private isCut = false;
  /** What passes is counted by it; what it stopped is lost, so only reset() heals. */
  trip: Trip | undefined;

  private constructor(
    private readonly server: Server,
    private readonly target: number,
  ) {
    server.on('connection', (near) => this.accept(near));
  }

  static async open(target: number): Promise<Forwarder> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
    const forwarder = new Forwarder(server, target);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return forwarder;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  /** Nothing comes through any more, in either direction. */
  cut(): void {
    this.isCut = true;
    for (const { near, far } of this.pairs) {
      near.pause();
      far.pause();
    }
  }

  /** What was held up comes through, as if the network had been slow. */
  heal(): void {
    this.isCut = false;
    for (const { near, far } of this.pairs) {
      near.resume();
      far.resume();
    }
    for (const near of this.waiting) this.relay(near);
    this.waiting.clear();
  }

  /** Puts bytes into the connections there are, towards the node that was called. */
  inject(bytes: Buffer): void {
    for (const { far } of this.pairs) far.write(bytes);
  }

  /** Ends the connections there are, as a host does that has forgotten them. */
  reset(): void {
    for (const { near, far } of this.pairs) {
      near.resetAndDestroy();
      far.resetAndDestroy();
    }
    for (const near of this.waiting) near.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.reset();
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    await closed;
  }

  private accept(near: Socket): void {
    near.on('error', () => near.destroy());
    near.on('close', () => this.waiting.delete(near));
    if (this.isCut) this.waiting.add(near);
    else this.relay(near);
  }

  private relay(near: Socket): void {
    const far = connect({ port: this.target, host: '127.0.0.1', allowHalfOpen: true });
    const pair = { near, far };
    this.pairs.add(pair);
    near.setNoDelay(true);
    far.setNoDelay(true);
    far.on('error', () => far.destroy());
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('close', () => {
        this.pairs.delete(pair);
        if (!this.isCut) other.destroy();
      });
    }
    this.pump(near, far);
    this.pump(far, near);
  }

  private pump(from: Socket, to: Socket): void {
    from.on('data', (chunk: Buffer) => {
      const passing = this.trip === undefined ? chunk : this.trip.take(chunk);
      if (to.destroyed || to.write(passing)) return;
      from.pause();
      to.once('drain', () => {
        if (!this.isCut) from.resume();
      });
    });
    from.on('end', () => to.end());
    if (!this.isCut) from.resume();
  }
}
