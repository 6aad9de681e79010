/**
 * Connections that no link has taken yet, over the addon's lobby thread, which starts with the
 * first listener or call and keeps the process alive while either is there.
 */
import { MirrorError } from '../model/errors';
import { assertNever } from '../model/states';
import type { Addon, RawLobby, RawLobbyEvent } from './addon';
import { checkBuffers, checkControlText, checkDial, checkInteger } from './checks';
import { DIAL_CODES, LISTEN_CODES, completionError, toPlaneError } from './nativeErrors';
import type { DialSpec, IncomingConnection, Listener, SocketOptions, WireSocket } from './plane';

interface Dial {
  readonly resolve: (socket: WireSocket) => void;
  readonly reject: (error: MirrorError) => void;
}

export class NativeLobby {
  private raw: RawLobby | undefined;
  private closed = false;
  private readonly listeners = new Map<number, (connection: IncomingConnection) => void>();
  private readonly dials = new Map<number, Dial>();

  constructor(private readonly addon: Addon) {}

  listen(
    host: string,
    port: number,
    onConnection: (connection: IncomingConnection) => void,
  ): Listener {
    checkInteger('the port', port, 0, 65_535);
    try {
      const raw = this.open();
      const { id, address } = raw.listen(host, port);
      this.listeners.set(id, onConnection);
      this.updateKeepAlive();
      return { address, close: () => this.closeListener(id) };
    } catch (error) {
      throw toPlaneError(error, LISTEN_CODES);
    }
  }

  async dial(spec: DialSpec): Promise<WireSocket> {
    checkDial(spec);
    try {
      const socket = this.open().dial(spec);
      return await new Promise((resolve, reject) => {
        this.dials.set(socket, { resolve, reject });
        this.updateKeepAlive();
      });
    } catch (error) {
      throw toPlaneError(error, DIAL_CODES);
    }
  }

  /** The descriptor of a socket, -1 when it is gone. */
  take(socket: WireSocket): number {
    return this.raw?.take(socket.id) ?? -1;
  }

  setSocketOptions(socket: WireSocket, options: SocketOptions): void {
    checkBuffers(options);
    this.raw?.setBuffers(socket.id, options.sndbufBytes, options.rcvbufBytes);
  }

  refuse(socket: WireSocket, text: string): void {
    checkControlText(text);
    this.raw?.refuse(socket.id, text);
  }

  close(): void {
    this.closed = true;
    this.raw?.close();
    this.raw = undefined;
    this.listeners.clear();
    const waiting = [...this.dials.values()];
    this.dials.clear();
    for (const dial of waiting) {
      dial.reject(new MirrorError('NotConnected', 'the data plane is closing'));
    }
  }

  private open(): RawLobby {
    if (this.closed) throw new MirrorError('Failed', 'the data plane is closed');
    this.raw ??= new this.addon.Lobby((event) => this.onEvent(event));
    return this.raw;
  }

  private onEvent(event: RawLobbyEvent): void {
    switch (event.type) {
      case 'accepted':
        this.onAccepted(event);
        return;
      case 'dialled':
        this.onDialled(event);
        return;
      default:
        assertNever(event);
    }
  }

  private onAccepted(event: RawLobbyEvent & { readonly type: 'accepted' }): void {
    const socket = this.wireSocket(event.socket, event.remoteAddress);
    const onConnection = this.listeners.get(event.listener);
    if (onConnection === undefined) socket.close();
    else onConnection({ socket, hello: event.hello });
  }

  private onDialled(event: RawLobbyEvent & { readonly type: 'dialled' }): void {
    const socket = this.wireSocket(event.socket, event.remoteAddress);
    const dial = this.dials.get(event.socket);
    this.dials.delete(event.socket);
    this.updateKeepAlive();
    if (dial === undefined) socket.close();
    else if (event.code === '') dial.resolve(socket);
    else dial.reject(dialError(event.code, event.message));
  }

  private wireSocket(id: number, remoteAddress: string): WireSocket {
    return { id, remoteAddress, close: () => this.raw?.closeSocket(id) };
  }

  private closeListener(id: number): void {
    if (!this.listeners.delete(id)) return;
    this.raw?.closeListener(id);
    this.updateKeepAlive();
  }

  private updateKeepAlive(): void {
    this.raw?.keepAlive(this.listeners.size + this.dials.size > 0);
  }
}

function dialError(errno: string, message: string): MirrorError {
  const cause = completionError('connecting', errno, message, {});
  return new MirrorError(DIAL_CODES[errno] ?? 'NotConnected', message, { cause });
}
