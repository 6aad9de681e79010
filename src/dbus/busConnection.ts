/**
 * Keeps the service on the bus under its name: connects, asks for the name, and after a loss
 * tries again with back-off until closed. What is exported does not depend on it: the caller's
 * objects stay, and messages sent while there is no bus are dropped.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { Message } from 'dbus-next';
import type { Logger } from 'pino';
import { MirrorError, toMirrorError } from '../model/errors';
import { BusSession } from './busSession';
import { MAX_RECONNECT_MS, MIN_RECONNECT_MS, NAME_WAIT_MS } from './limits';
import type { BusCall } from './polkit';

export interface BusConnectionOptions {
  /** As resolveBusAddress gives them; tried in turn. */
  readonly addresses: readonly string[];
  readonly name: string;
  /** `reply` sends on the connection that the message came from, and nothing once it is lost. */
  readonly onMessage: (message: Message, reply: (message: Message) => void) => void;
  /** Before each attempt: unique names of another bus mean others. */
  readonly onConnecting: () => void;
  readonly log: Logger;
}

export class BusConnection {
  private session: BusSession | undefined;
  private timer: NodeJS.Timeout | undefined;
  private attempts = 0;
  private closed = false;
  /** The reason told last, so that a bus that stays away is told of once. */
  private toldReason = '';

  constructor(private readonly options: BusConnectionOptions) {}

  /**
   * The first attempt; when there is no bus, says so and goes on trying by itself.
   * @throws Failed when another service has the name
   */
  async start(): Promise<void> {
    const end = Date.now() + NAME_WAIT_MS;
    for (;;) {
      try {
        await this.connect();
        return;
      } catch (error) {
        if (!(error instanceof NameTaken)) {
          this.tellAndRetry(toMirrorError(error).message);
          return;
        }
        if (Date.now() >= end) throw new MirrorError('Failed', error.message);
      }
      await wait(MIN_RECONNECT_MS);
    }
  }

  /** Dropped while there is no bus. Throws when the message itself is wrong. */
  send(message: Message): void {
    if (this.session !== undefined) sendOn(this.session, message);
  }

  /** Numeric user of a caller. @throws NotConnected, TimedOut, Failed */
  async userOf(sender: string): Promise<number> {
    if (this.session === undefined) throw new MirrorError('NotConnected', 'there is no bus');
    return this.session.userOf(sender);
  }

  /** Of this side to another; as BusSession.call. @throws NotConnected, TimedOut, Failed */
  async call(spec: Parameters<BusCall>[0]): Promise<readonly unknown[]> {
    if (this.session === undefined) throw new MirrorError('NotConnected', 'there is no bus');
    return this.session.call(spec);
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.timer);
    await this.session?.close();
  }

  private async connect(): Promise<void> {
    const { addresses, name, log } = this.options;
    const address = addresses[this.attempts % addresses.length] ?? '';
    this.attempts++;
    this.options.onConnecting();
    const session = await BusSession.open(address, {
      onMessage: (message) => this.options.onMessage(message, (answer) => sendOn(session, answer)),
      onLost: (why) => this.onLost(session, why),
      onOddity: (error) => log.warn({ err: error }, 'a D-Bus message could not be read'),
    });
    const owned = await session.requestName(name).catch(async (error: unknown) => {
      await session.close();
      throw error;
    });
    if (!owned || this.closed) await session.close();
    if (this.closed) return;
    if (!owned) throw new NameTaken(`another service owns ${name} on this bus; end it first`);
    this.session = session;
    this.attempts = 0;
    this.toldReason = '';
    log.info({ name }, 'on the bus');
  }

  /** A loss before the name was owned is connect()'s to handle. */
  private onLost(session: BusSession, why: string): void {
    if (this.session !== session) return;
    this.session = undefined;
    if (!this.closed) this.tellAndRetry(why);
  }

  private tellAndRetry(reason: string): void {
    if (reason !== this.toldReason) {
      this.options.log.warn({ reason }, 'no bus; devices go on, trying again');
      this.toldReason = reason;
    }
    if (this.closed) return;
    const delayMs = Math.min(MAX_RECONNECT_MS, MIN_RECONNECT_MS * 2 ** Math.min(this.attempts, 10));
    this.timer = setTimeout(() => void this.retry(), delayMs);
  }

  private async retry(): Promise<void> {
    try {
      await this.connect();
    } catch (error) {
      this.tellAndRetry(toMirrorError(error).message);
    }
  }
}

function sendOn(session: BusSession, message: Message): void {
  if (session.isOpen) session.send(message);
}

class NameTaken extends Error {}
