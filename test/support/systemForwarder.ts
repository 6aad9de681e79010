// A TCP forwarder on loopback that stands for the network between two nodes. Cut, it is a black
// hole: connections stay open, nothing comes through in either direction or in one, nothing is
// reset, and new connections are taken by the kernel and never served. It can also be slow.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { until } from './privateBus';
import { Lane, openLane } from './systemLane';
import type { LaneState, Tap } from './systemLane';

/** Seen from the node that dialled: what it sends, and what it receives. */
export type Way = 'there' | 'back';

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
  readonly lanes: readonly Lane[];
}

export class Forwarder {
  private readonly pairs = new Set<Pair>();
  private readonly waiting = new Set<Socket>();
  private readonly ways: Record<Way, LaneState> = { there: openLane(), back: openLane() };

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

  /** What passes is counted by it; what it stopped is lost, so only reset() heals. */
  set trip(trip: Tap | undefined) {
    for (const way of Object.values(this.ways)) way.trip = trip;
  }

  /** Each way; what is on its way already arrives when it was due, and nothing overtakes it. */
  set delayMs(delayMs: number) {
    for (const way of Object.values(this.ways)) way.delayMs = delayMs;
  }

  /** Each way, for each connection. */
  set bytesPerSecond(bytesPerSecond: number) {
    for (const way of Object.values(this.ways)) way.bytesPerSecond = bytesPerSecond;
  }

  /** Nothing comes through any more, in either direction or in the one named. */
  cut(way?: Way): void {
    if (way !== 'back') this.ways.there.held = true;
    if (way !== 'there') this.ways.back.held = true;
    this.proceed();
  }

  /** What was held up comes through, as if the network had been slow. */
  heal(): void {
    this.ways.there.held = false;
    this.ways.back.held = false;
    this.proceed();
    for (const near of this.waiting) this.relay(near);
    this.waiting.clear();
  }

  /** While it is cut: until a connection waits to be served. */
  async untilDialled(): Promise<void> {
    await until(`somebody dials ${this.port}`, () => this.waiting.size > 0);
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

  private get isCut(): boolean {
    return this.ways.there.held || this.ways.back.held;
  }

  private proceed(): void {
    for (const { lanes } of this.pairs) for (const lane of lanes) lane.proceed();
  }

  private accept(near: Socket): void {
    near.on('error', () => near.destroy());
    near.on('close', () => this.waiting.delete(near));
    if (this.isCut) this.waiting.add(near);
    else this.relay(near);
  }

  private relay(near: Socket): void {
    const far = connect({ port: this.target, host: '127.0.0.1', allowHalfOpen: true });
    near.setNoDelay(true);
    far.setNoDelay(true);
    far.on('error', () => far.destroy());
    const lanes = [new Lane(near, far, this.ways.there), new Lane(far, near, this.ways.back)];
    const pair = { near, far, lanes };
    this.pairs.add(pair);
    const closed = (): void => {
      if (near.destroyed && far.destroyed) this.pairs.delete(pair);
    };
    near.on('close', closed);
    far.on('close', closed);
    for (const lane of lanes) lane.proceed();
  }
}
