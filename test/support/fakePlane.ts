// The listening side of a data plane in memory: what the service's ports need of it.

import type { IncomingConnection, Listener, WireSocket } from '../../src/plane/plane';

type OnConnection = (connection: IncomingConnection) => void;

export class FakePorts {
  /** Open listeners by `host port`. */
  readonly open = new Map<string, OnConnection>();
  /** What was refused, as the frames that were sent. */
  readonly refused: string[] = [];
  /** How often a listener was opened. */
  listens = 0;
  nextError: Error | undefined;

  async listen(host: string, port: number, onConnection: OnConnection): Promise<Listener> {
    this.listens++;
    const error = this.nextError;
    this.nextError = undefined;
    if (error !== undefined) throw error;
    const key = `${host} ${String(port)}`;
    this.open.set(key, onConnection);
    return { address: `${host}:${String(port)}`, close: () => void this.open.delete(key) };
  }

  refuse(_socket: WireSocket, text: string): void {
    this.refused.push(text);
  }

  /** A connection with this first frame arrives. */
  connect(host: string, port: number, hello: string): void {
    const socket = { id: 1, remoteAddress: '192.0.2.9:4000', close: () => undefined };
    this.open.get(`${host} ${String(port)}`)?.({ socket, hello });
  }
}
