/**
 * The command line's connection to D-Bus: calls with deadlines, signals, and the moment the
 * bus is lost. dbus-next itself never gives up on a call.
 */
import type { Socket } from 'node:net';
import { Message, sessionBus } from 'dbus-next';
import type { MessageBus } from 'dbus-next';
import { resolveBusAddress } from '../dbus/busAddress';
import { MirrorError, toMirrorError } from '../model/errors';
import { BUS_DEADLINE_MS, CONNECT_DEADLINE_MS } from './limits';
import { busAnswerError, noBus } from './words';

export interface CallSpec {
  readonly destination: string;
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly signature?: string;
  readonly body?: readonly unknown[];
  readonly deadlineMs: number;
  /** A read does not begin a service that was stopped; a command may ask for a password. */
  readonly kind: 'read' | 'command';
}

export interface Signal {
  readonly path: string;
  readonly interface: string;
  readonly member: string;
  readonly body: readonly unknown[];
}

const SIGNAL = 4;
const NO_AUTO_START = 2;
const ALLOW_INTERACTIVE_AUTHORIZATION = 4;
const ERROR = 3;
const DRIVER = {
  destination: 'org.freedesktop.DBus',
  path: '/org/freedesktop/DBus',
  interface: 'org.freedesktop.DBus',
  deadlineMs: BUS_DEADLINE_MS,
  kind: 'read',
} as const;

/** What is needed of dbus-next beyond its declared interface. */
interface Internals {
  readonly _connection: { readonly stream: Socket };
}

export class Bus {
  private readonly signalListeners = new Set<(signal: Signal) => void>();
  private readonly lossListeners = new Set<() => void>();
  private lastError = 'the connection was closed';
  private isLost = false;

  private constructor(
    /** As the user gave it. */
    readonly address: string,
    private readonly bus: MessageBus,
    private readonly stream: Socket,
  ) {}

  /** @throws NotConnected, InvalidArgs (an address that is none) */
  static async open(address: string): Promise<Bus> {
    const resolved = resolveBusAddress(address, process.env);
    if (!resolved.ok) throw new MirrorError('InvalidArgs', resolved.problem);
    let problem: unknown;
    for (const dialable of resolved.addresses) {
      try {
        return await Bus.dial(address, dialable);
      } catch (error) {
        problem ??= error;
      }
    }
    throw problem;
  }

  private static async dial(address: string, dialable: string): Promise<Bus> {
    const connection = sessionBus({ busAddress: dialable, authMethods: ['EXTERNAL'] });
    const { stream } = (connection as unknown as Internals)._connection;
    const bus = new Bus(address, connection, stream);
    const connected = new Promise<void>((resolve) => connection.on('connect', () => resolve()));
    bus.listen();
    try {
      await bus.beforeLoss(connected, CONNECT_DEADLINE_MS, 'connecting to the bus');
    } catch (error) {
      stream.destroy();
      const { code, message } = toMirrorError(error);
      throw noBus(address, code === 'TimedOut' ? message : bus.lastError);
    }
    return bus;
  }

  /** The body of the answer. @throws MirrorError, with words for the user */
  async call(spec: CallSpec): Promise<readonly unknown[]> {
    const { destination, path, member, signature = '' } = spec;
    const body = [...(spec.body ?? [])];
    const flags = spec.kind === 'read' ? NO_AUTO_START : ALLOW_INTERACTIVE_AUTHORIZATION;
    const head = { destination, path, interface: spec.interface, member, flags };
    try {
      const answer = this.bus.call(new Message({ ...head, signature, body }));
      const message = await this.beforeLoss(answer, spec.deadlineMs, member);
      return (message?.body ?? []) as readonly unknown[];
    } catch (error) {
      throw busAnswerError(error, this.address);
    }
  }

  /** Signals that fit the match rule go to all listeners from then on. */
  async subscribe(rule: string): Promise<void> {
    await this.call({ ...DRIVER, member: 'AddMatch', signature: 's', body: [rule] });
  }

  /** The unique name of who has `name`, or undefined. */
  async tryOwnerOf(name: string): Promise<string | undefined> {
    const has = await this.call({
      ...DRIVER,
      member: 'NameHasOwner',
      signature: 's',
      body: [name],
    });
    if (has[0] !== true) return undefined;
    const owner = await this.call({
      ...DRIVER,
      member: 'GetNameOwner',
      signature: 's',
      body: [name],
    });
    return String(owner[0]);
  }

  onSignal(listener: (signal: Signal) => void): () => void {
    this.signalListeners.add(listener);
    return () => this.signalListeners.delete(listener);
  }

  /** At once when it is lost already. */
  onLost(listener: () => void): void {
    if (this.isLost) listener();
    else this.lossListeners.add(listener);
  }

  /** May be called twice. */
  close(): void {
    this.stream.destroy();
  }

  private listen(): void {
    this.bus.on('error', (error: unknown) => {
      this.lastError = String(error).replace(/^Error: /, '');
      this.stream.destroy();
    });
    this.stream.once('close', () => {
      this.isLost = true;
      for (const listener of [...this.lossListeners]) listener();
      this.lossListeners.clear();
    });
    this.bus.on('message', (message) => {
      const type = message.type as number;
      if (type === SIGNAL) this.deliver(message);
      // dbus-next throws into nowhere when Hello is refused.
      else if (type === ERROR && (this.bus as unknown as { name: unknown }).name === null) {
        this.lastError = message.errorName;
        this.stream.destroy();
      }
    });
  }

  private deliver(message: Message): void {
    const { path, member } = message;
    const body = message.body as readonly unknown[];
    const signal = { path, interface: message.interface, member, body };
    for (const listener of [...this.signalListeners]) listener(signal);
  }

  private beforeLoss<T>(promise: Promise<T>, deadlineMs: number, what: string): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const onLost = (): void => {
        clearTimeout(timer);
        const message = `the bus ended before ${what} was answered: ${this.lastError}`;
        reject(new MirrorError('NotConnected', message));
      };
      const timer = setTimeout(() => {
        const message = `${what}: no answer within ${deadlineMs / 1000} s`;
        reject(new MirrorError('TimedOut', message));
      }, deadlineMs);
      promise.then(resolve, reject).finally(() => {
        clearTimeout(timer);
        this.lossListeners.delete(onLost);
      });
      this.onLost(onLost);
    });
  }
}
