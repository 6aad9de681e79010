// Connections between memory planes: in order, one millisecond each way, and they can be cut.

import type { IncomingConnection, WireSocket } from '../../src/plane/plane';
import type { VirtualClock } from './virtualClock';

export const LATENCY_MS = 1;

/** What one end of a connection hears. */
export interface EndListener {
  control(text: string): void;
  closed(detail: string): void;
  /** The other end established its side. */
  established(): void;
}

/** One end of a connection; a socket until a device takes it as its link. */
export class FakeEnd implements WireSocket {
  other: FakeEnd | undefined;
  /** Set by the device that owns it. */
  owner: unknown;
  open = true;
  private listener: EndListener | undefined;
  private readonly waiting: ((listener: EndListener) => void)[] = [];

  constructor(
    private readonly network: MemoryNetwork,
    readonly id: number,
    readonly host: string,
    readonly remoteAddress: string,
  ) {}

  listen(listener: EndListener): void {
    this.listener = listener;
    for (const message of this.waiting.splice(0)) message(listener);
    if (!this.open) this.network.clock.after(0, () => listener.closed('closed already'));
  }

  send(message: (listener: EndListener) => void): void {
    const { other } = this;
    if (!this.open || other === undefined) return;
    this.network.clock.after(LATENCY_MS, () => {
      if (!other.open) return;
      this.network.count('message');
      other.hear(message);
    });
  }

  close(): void {
    if (!this.open) return;
    const { other } = this;
    this.network.clock.after(LATENCY_MS, () => other?.shut('the peer closed the connection'));
    this.shut('closed here');
  }

  /** Ends it without a word, on this side only. */
  shut(detail: string): void {
    if (!this.open) return;
    this.open = false;
    const { listener } = this;
    if (listener !== undefined) this.network.clock.after(0, () => listener.closed(detail));
  }

  private hear(message: (listener: EndListener) => void): void {
    if (!this.open) return;
    if (this.listener === undefined) this.waiting.push(message);
    else message(this.listener);
  }
}

export class MemoryNetwork {
  /** Connections and calls so far; at `cutAt` everything is cut once. */
  steps = 0;
  cutAt = Infinity;
  private lastId = 0;
  private readonly ends = new Set<FakeEnd>();
  private readonly listeners = new Map<string, (connection: IncomingConnection) => void>();
  private readonly cuts = new Set<string>();

  constructor(readonly clock: VirtualClock) {}

  listen(host: string, port: number, handler: (connection: IncomingConnection) => void): void {
    this.listeners.set(`${host}:${port}`, handler);
  }

  unlisten(host: string, port: number): void {
    this.listeners.delete(`${host}:${port}`);
  }

  /** undefined: nobody answers. */
  connect(from: string, host: string, port: number, hello: string): FakeEnd | undefined {
    const handler = this.listeners.get(`${host}:${port}`);
    if (handler === undefined || this.isCut(from, host)) return undefined;
    const near = this.newEnd(from, `${host}:${port}`);
    const far = this.newEnd(host, `${from}:40000`);
    near.other = far;
    far.other = near;
    this.clock.after(LATENCY_MS, () => {
      this.count('connection');
      if (far.open) handler({ socket: far, hello });
    });
    return near;
  }

  /** Ends all connections between two hosts, with what is under way, and allows no new ones. */
  cut(a: string, b: string): void {
    this.cuts.add(pairKey(a, b));
    for (const end of this.ends) if (end.host === a && end.other?.host === b) shutBoth(end);
  }

  heal(a: string, b: string): void {
    this.cuts.delete(pairKey(a, b));
  }

  /** All connections of a host, as when its process dies. */
  dropHost(host: string): void {
    for (const end of this.ends) if (end.host === host) shutBoth(end);
  }

  count(_what: string): void {
    this.steps += 1;
    if (this.steps !== this.cutAt) return;
    for (const end of this.ends) shutBoth(end);
  }

  openConnections(): number {
    return [...this.ends].filter((end) => end.open && end.other?.open === true).length / 2;
  }

  private isCut(a: string, b: string): boolean {
    return this.cuts.has(pairKey(a, b));
  }

  private newEnd(host: string, remote: string): FakeEnd {
    this.lastId += 1;
    const end = new FakeEnd(this, this.lastId, host, remote);
    this.ends.add(end);
    return end;
  }
}

function shutBoth(end: FakeEnd): void {
  end.shut('connection reset');
  end.other?.shut('connection reset');
}

function pairKey(a: string, b: string): string {
  return [a, b].sort().join(' ');
}
