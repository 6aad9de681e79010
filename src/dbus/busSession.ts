/**
 * One connection to the bus, from dialing to its loss. The only file that touches dbus-next's
 * connection: its holes are closed here.
 *
 * - no deadlines of its own: every call out gets one
 * - loss is seen on the socket's `close`, whatever it came from
 * - an error in reply to Hello, or a message its parser chokes on, would end the process
 * Used by busConnection.ts, which reconnects.
 */
import type { Socket } from 'node:net';
import { Message, sessionBus } from 'dbus-next';
import type { MessageBus } from 'dbus-next';
import { MirrorError, toMirrorError } from '../model/errors';
import { CALL_DEADLINE_MS, CLOSE_DEADLINE_MS } from './limits';
import type { BusCall } from './polkit';

const ERROR_MESSAGE = 3;
const DRIVER = 'org.freedesktop.DBus';
const NAME_DO_NOT_QUEUE = 4;
const NAME_OWNED = [1, 4];

/** What this file needs of dbus-next beyond its declared interface. */
interface Internals {
  readonly name: string | null;
  readonly _methodReturnHandlers: Record<string, unknown>;
  readonly _connection: {
    readonly stream: Socket;
    once(event: 'connect', listener: () => void): void;
  };
}

export interface SessionEvents {
  readonly onMessage: (message: Message) => void;
  /** Once, when an open session ends for whatever reason. */
  readonly onLost: (why: string) => void;
  /** Something odd that changes nothing. */
  readonly onOddity: (error: unknown) => void;
}

export class BusSession {
  private lastError = 'the connection was closed';
  private readonly lostListeners = new Set<() => void>();
  private lost = false;

  private constructor(
    private readonly bus: MessageBus,
    private readonly stream: Socket,
    private readonly events: SessionEvents,
  ) {}

  /** @throws NotConnected, TimedOut */
  static async open(address: string, events: SessionEvents): Promise<BusSession> {
    const bus = dial(address);
    const internals = bus as unknown as Internals;
    const session = new BusSession(bus, internals._connection.stream, events);
    session.listen(internals);
    const connected = new Promise<void>((resolve) => bus.on('connect', () => resolve()));
    try {
      await session.beforeLoss(connected, 'connecting to the bus');
    } catch (error) {
      session.stream.destroy();
      throw error;
    }
    session.lostListeners.add(() => session.events.onLost(session.lastError));
    return session;
  }

  /** true when the name is this side's now, false when another has it. @throws NotConnected … */
  async requestName(name: string): Promise<boolean> {
    const answer = await this.callDriver('RequestName', 'su', [name, NAME_DO_NOT_QUEUE]);
    return NAME_OWNED.includes(Number(answer[0]));
  }

  /** Numeric user of a connection. */
  async userOf(sender: string): Promise<number> {
    const answer = await this.callDriver('GetConnectionUnixUser', 's', [sender]);
    return Number(answer[0]);
  }

  get isOpen(): boolean {
    return !this.lost && this.stream.writable;
  }

  /** Throws when the connection is gone or the body does not fit the signature. */
  send(message: Message): void {
    if (!this.isOpen) throw new MirrorError('NotConnected', this.lastError);
    this.bus.send(message);
  }

  /** Sends what was written, then closes. May be called twice. */
  async close(): Promise<void> {
    if (this.lost) return;
    const closed = new Promise<void>((resolve) => this.lostListeners.add(() => resolve()));
    this.lastError = 'this side closed it';
    this.stream.end();
    const timer = setTimeout(() => this.stream.destroy(), CLOSE_DEADLINE_MS);
    // The bus keeps its half open until it has read everything; nothing more is wanted from it.
    this.stream.once('finish', () => this.stream.destroy());
    await closed;
    clearTimeout(timer);
  }

  /** The body of the answer. @throws MirrorError, for an error answer with it as the cause */
  async call(spec: Parameters<BusCall>[0]): Promise<readonly unknown[]> {
    const { deadlineMs, body, ...target } = spec;
    const call = this.bus.call(new Message({ ...target, body: [...body] }));
    const what = `asking ${spec.destination} (${spec.member})`;
    const reply = await this.beforeLoss(call, what, deadlineMs);
    return (reply?.body ?? []) as readonly unknown[];
  }

  private callDriver(
    member: string,
    signature: string,
    body: readonly unknown[],
  ): Promise<readonly unknown[]> {
    const target = { path: '/org/freedesktop/DBus', destination: DRIVER, interface: DRIVER };
    return this.call({ ...target, member, signature, body, deadlineMs: CALL_DEADLINE_MS });
  }

  /** The promise's value, unless the connection ends or the deadline passes before. */
  private beforeLoss<T>(
    promise: Promise<T>,
    what: string,
    deadlineMs = CALL_DEADLINE_MS,
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const onLost = (): void => finish(() => reject(this.lossError(what)));
      const timer = setTimeout(() => {
        const message = `${what} took longer than ${deadlineMs} ms`;
        finish(() => reject(new MirrorError('TimedOut', message)));
      }, deadlineMs);
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        this.lostListeners.delete(onLost);
        settle();
      };
      this.lostListeners.add(onLost);
      promise.then(
        (value) => finish(() => resolve(value)),
        (error: unknown) => finish(() => reject(toMirrorError(error))),
      );
      if (this.lost) onLost();
    });
  }

  private lossError(what: string): MirrorError {
    return new MirrorError('NotConnected', `${what} failed: ${this.lastError}`);
  }

  private listen(internals: Internals): void {
    const { bus, stream } = this;
    bus.on('error', (error: unknown) => {
      // Once connected: a message that could not be read, or a socket that closes by itself.
      if (internals.name !== null) this.events.onOddity(error);
      this.lastError = error instanceof Error ? error.message : String(error);
      // An authentication that fails leaves the socket open.
      if (internals.name === null) stream.destroy();
    });
    stream.once('close', () => this.onClose());
    bus.on('message', (message) => {
      if (internals.name === null) this.checkHello(internals, message);
    });
    // Answered here in any case: dbus-next's own services must not see a call.
    bus.addMethodHandler((message: Message): boolean => {
      this.events.onMessage(message);
      return true;
    });
    internals._connection.once('connect', () => guardParser(stream, this.events.onOddity));
  }

  /** dbus-next throws into nowhere when Hello is refused (too many connections). */
  private checkHello(internals: Internals, message: Message): void {
    if ((message.type as number) !== ERROR_MESSAGE) return;
    for (const serial of Object.keys(internals._methodReturnHandlers)) {
      Reflect.deleteProperty(internals._methodReturnHandlers, serial);
    }
    this.lastError = `the bus refused the connection: ${message.errorName}`;
    this.stream.destroy();
  }

  private onClose(): void {
    this.lost = true;
    const listeners = [...this.lostListeners];
    this.lostListeners.clear();
    for (const listener of listeners) listener();
  }
}

function dial(address: string): MessageBus {
  try {
    return sessionBus({ busAddress: address, authMethods: ['EXTERNAL'] });
  } catch (error) {
    const message = `the bus address cannot be used: ${toMirrorError(error).message}`;
    throw new MirrorError('NotConnected', message, { cause: error });
  }
}

/**
 * Catches what dbus-next's parser throws on a message (a descriptor index without a descriptor,
 * which any client may send). The message was consumed by then: parsing goes on behind it.
 */
function guardParser(stream: Socket, onOddity: (error: unknown) => void): void {
  const original = stream.on.bind(stream);
  const guarded = (event: string, listener: (...args: unknown[]) => void): Socket => {
    Reflect.deleteProperty(stream, 'on');
    return original(event, event === 'readable' ? () => parseAll(listener, onOddity) : listener);
  };
  Reflect.set(stream, 'on', guarded);
}

function parseAll(listener: () => void, onOddity: (error: unknown) => void): void {
  for (;;) {
    try {
      listener();
      return;
    } catch (error) {
      onOddity(error);
    }
  }
}
