/**
 * Bus addresses as users give them (`system`, `session`, `unix:path=…`), turned into the form
 * that dbus-next dials without descriptor passing. Pure but for the environment handed in.
 */

const SYSTEM_ADDRESS = 'unix:path=/var/run/dbus/system_bus_socket';

export type BusAddresses =
  | { readonly ok: true; readonly addresses: readonly string[] }
  | { readonly ok: false; readonly problem: string };

type Environment = Readonly<Record<string, string | undefined>>;

/** The addresses to try in turn, in dbus-next's own spelling. */
export function resolveBusAddress(text: string, env: Environment): BusAddresses {
  const written = writtenAddress(text, env);
  if (written === undefined) {
    return { ok: false, problem: 'there is no session bus: DBUS_SESSION_BUS_ADDRESS is not set' };
  }
  const addresses: string[] = [];
  for (const entry of written.split(';').filter((part) => part !== '')) {
    const dialable = tryDialable(entry);
    if (dialable === undefined) {
      const right = 'use system, session, unix:path=PATH or unix:abstract=NAME';
      return { ok: false, problem: `${JSON.stringify(entry)} is no bus address; ${right}` };
    }
    addresses.push(dialable);
  }
  if (addresses.length > 0) return { ok: true, addresses };
  return { ok: false, problem: 'the bus address is empty; use system, session or unix:path=PATH' };
}

function writtenAddress(text: string, env: Environment): string | undefined {
  if (text === 'system') return env.DBUS_SYSTEM_BUS_ADDRESS ?? SYSTEM_ADDRESS;
  if (text !== 'session') return text;
  if (env.DBUS_SESSION_BUS_ADDRESS !== undefined) return env.DBUS_SESSION_BUS_ADDRESS;
  return env.XDG_RUNTIME_DIR === undefined ? undefined : `unix:path=${env.XDG_RUNTIME_DIR}/bus`;
}

function tryDialable(entry: string): string | undefined {
  const parts = /^(unix|tcp):(.*)$/.exec(entry);
  if (parts === null) return undefined;
  const values = new Map<string, string>();
  for (const pair of (parts[2] ?? '').split(',')) {
    const equals = pair.indexOf('=');
    if (equals <= 0) return undefined;
    const value = tryUnescape(pair.slice(equals + 1));
    if (value === undefined) return undefined;
    values.set(pair.slice(0, equals), value);
  }
  return parts[1] === 'unix' ? tryUnix(values) : tryTcp(values);
}

/** `socket=` makes dbus-next use a plain net socket, for abstract names too. */
function tryUnix(values: ReadonlyMap<string, string>): string | undefined {
  const path = values.get('path');
  if (path !== undefined) return path === '' ? undefined : `unix:socket=${path}`;
  const name = values.get('abstract');
  return name === undefined || name === '' ? undefined : `unix:socket=\0${name}`;
}

function tryTcp(values: ReadonlyMap<string, string>): string | undefined {
  const port = values.get('port') ?? '';
  if (!/^[0-9]{1,5}$/.test(port)) return undefined;
  return `tcp:host=${values.get('host') ?? 'localhost'},port=${port}`;
}

/** Undoes %XX. What dbus-next would cut at cannot be dialed. */
function tryUnescape(value: string): string | undefined {
  try {
    const text = decodeURIComponent(value);
    return /[,:;=\0]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}
