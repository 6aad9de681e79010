/**
 * Listening ports, each shared by any number of resources: one listener for each distinct
 * numeric address and port, open while a resource uses it. What comes in goes to the resource
 * that its first frame names; anything else is refused in words.
 */
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { Logger } from 'pino';
import { canonicalAddress, formatAddress } from '../config/address';
import { MirrorError, toMirrorError } from '../model/errors';
import type { ResourceName } from '../model/states';
import type { IncomingConnection, Listener, Plane } from '../plane/plane';
import { formatRefusal, parseHello } from '../resource/hello';
import type { Hello } from '../resource/hello';
import { MAX_SHOWN_CHARACTERS, RESOLVE_DEADLINE_MS } from './limits';

export interface Route {
  readonly resource: ResourceName;
  /** Takes the connection over; false while the resource is not there yet. */
  readonly tryAccept: (connection: IncomingConnection, hello: Hello) => boolean;
}

export interface PortsOptions {
  readonly plane: Pick<Plane, 'listen' | 'refuse'>;
  readonly log: Logger;
}

interface Port {
  readonly listener: Promise<Listener>;
  readonly routes: Map<string, Route>;
}

export class Ports {
  private readonly ports = new Map<string, Port>();
  /** A peer that tries again and again is logged once. */
  private lastRefusal = '';

  constructor(private readonly options: PortsOptions) {}

  /**
   * Listens for a resource. Returns how to stop.
   * @throws DeviceInUse (the address is taken), NotConnected (the name does not resolve), Failed
   */
  async open(host: string, port: number, route: Route): Promise<() => void> {
    const address = { host: await resolveHost(host), port };
    const key = canonicalAddress(address);
    const shared = this.ports.get(key) ?? this.listen(key, address.host, port);
    if (shared.routes.has(route.resource)) {
      throw new MirrorError('InTransition', `${route.resource} listens on this port already`);
    }
    shared.routes.set(route.resource, route);
    try {
      await shared.listener;
    } catch (error) {
      this.release(key, shared, route);
      throw listenError(error, formatAddress(address));
    }
    return () => this.release(key, shared, route);
  }

  /** As bound. */
  async addresses(): Promise<readonly string[]> {
    const listeners = await Promise.all([...this.ports.values()].map((port) => port.listener));
    return listeners.map((listener) => listener.address);
  }

  private listen(key: string, host: string, portNumber: number): Port {
    const routes = new Map<string, Route>();
    const listener = this.options.plane.listen(host, portNumber, (connection) => {
      this.dispatch(routes, connection);
    });
    const port: Port = { listener, routes };
    this.ports.set(key, port);
    return port;
  }

  private release(key: string, port: Port, route: Route): void {
    if (port.routes.get(route.resource) !== route) return;
    port.routes.delete(route.resource);
    if (port.routes.size > 0) return;
    if (this.ports.get(key) === port) this.ports.delete(key);
    port.listener.then(
      (listener) => listener.close(),
      () => undefined,
    );
  }

  private dispatch(routes: ReadonlyMap<string, Route>, connection: IncomingConnection): void {
    const parsed = parseHello(connection.hello);
    if (parsed.kind === 'refused') {
      this.refuse(connection, parsed.text, parsed.message);
      return;
    }
    const { resource } = parsed.hello;
    if (routes.get(resource)?.tryAccept(connection, parsed.hello) === true) return;
    const words = `resource ${quoted(resource)} is not up here`;
    this.refuse(connection, formatRefusal('NotFound', words), words);
  }

  private refuse(connection: IncomingConnection, frame: string, why: string): void {
    const from = connection.socket.remoteAddress;
    const refusal = `${from.slice(0, from.lastIndexOf(':'))} ${why}`;
    if (refusal !== this.lastRefusal) this.options.log.info({ from, why }, 'connection refused');
    this.lastRefusal = refusal;
    this.options.plane.refuse(connection.socket, frame);
  }
}

/** What a stranger wrote goes into messages and logs only in part. */
function quoted(text: string): string {
  return JSON.stringify(text.slice(0, MAX_SHOWN_CHARACTERS));
}

async function resolveHost(host: string): Promise<string> {
  if (isIP(host) !== 0) return host;
  const found = await Promise.race([lookupWords(host), deadline()]);
  if ('address' in found) return found.address;
  const message = `the host name ${host} cannot be resolved: ${found.problem}`;
  throw new MirrorError('NotConnected', message);
}

type Lookup = { readonly address: string } | { readonly problem: string };

async function lookupWords(host: string): Promise<Lookup> {
  try {
    return await lookup(host);
  } catch (error) {
    return { problem: toMirrorError(error).message };
  }
}

function deadline(): Promise<Lookup> {
  const problem = `no answer within ${RESOLVE_DEADLINE_MS} ms`;
  return new Promise((resolve) => {
    setTimeout(() => resolve({ problem }), RESOLVE_DEADLINE_MS).unref();
  });
}

function listenError(error: unknown, address: string): MirrorError {
  const known = toMirrorError(error);
  const message = known.message.includes(address)
    ? known.message
    : `cannot listen on ${address}: ${known.message}`;
  return new MirrorError(known.code, message, { cause: error });
}
