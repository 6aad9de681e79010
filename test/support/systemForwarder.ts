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

export class Forwarder {
  private readonly pairs = new Set<Pair>();
  private readonly waiting = new Set<Socket>();
  private isCut = false;

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
      near.unpipe().pause();
      far.unpipe().pause();
    }
  }

  /** What was held up comes through, as if the network had been slow. */
  heal(): void {
    this.isCut = false;
    for (const pair of this.pairs) join(pair);
    for (const near of this.waiting) this.relay(near);
    this.waiting.clear();
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
    if (!this.isCut) join(pair);
  }
}

function join({ near, far }: Pair): void {
  near.pipe(far);
  far.pipe(near);
  near.resume();
  far.resume();
}
