// A mirror of two guests as their administrator makes and sees it.

import type { Guest } from './guest';
import type { GuestPair } from './pair';
import { eventually } from './deadline';
import { INSTALL } from './prepare';

export const BACKING_DISK = '/dev/disk/by-id/virtio-backing';
const APT_DEADLINE_MS = 300_000;
const SYNC_DEADLINE_MS = 240_000;

/** A row of `blkmirror status --json`, as far as tests look at it. */
export interface Status {
  readonly name: string;
  readonly role: string;
  readonly diskState: string;
  readonly device: string | null;
  readonly nbdSocket: string | null;
  readonly sizeBytes: number;
  readonly peers: readonly {
    readonly name: string;
    readonly connectionState: string;
    readonly replicationState: string;
    readonly role: string;
    readonly diskState: string;
    readonly outOfSyncBytes: number;
  }[];
}

export interface MirrorOptions {
  readonly disk?: string;
  readonly port?: number;
  /** Further sections, or lines of [resource] that come first. */
  readonly more?: string;
}

/** A configuration file as README.md shows it. */
export function configuration(options: MirrorOptions = {}): string {
  const { disk = BACKING_DISK, port = 7788, more = '' } = options;
  const node = (name: string, number: number): string =>
    `[node "${name}"]\naddress = 192.0.2.${number}:${port}\ndisk = ${disk}\nmeta-disk = internal\n`;
  return `${more}\n${node('alpha', 1)}${node('beta', 2)}`;
}

/** Installs the package on both. */
export async function install(pair: GuestPair): Promise<void> {
  await pair.onBoth(INSTALL, { deadlineMs: APT_DEADLINE_MS });
}

export async function configure(
  pair: GuestPair,
  name: string,
  options: MirrorOptions = {},
): Promise<void> {
  const file = `/etc/blkmirror/resources.d/${name}.conf`;
  await pair.onBoth(`cat >${file} <<'END'\n${configuration(options)}\nEND`);
}

export async function statusOf(guest: Guest, name: string): Promise<Status> {
  const rows = JSON.parse(await guest.runOk('blkmirror status --json')) as Status[];
  const found = rows.find((row) => row.name === name);
  if (found === undefined) throw new Error(`${name} is not up on ${guest.name}`);
  return found;
}

/** One property by busctl, which is quicker than the command: `DiskState` of a peer, and so on. */
export async function property(guest: Guest, object: string, name: string): Promise<string> {
  const kind = object.includes('/') ? 'Peer' : 'Device';
  const path = `/org/blkmirror/Mirror1/devices/${object}`;
  const value = await guest.runOk(
    `busctl get-property org.blkmirror.Mirror1 ${path} org.blkmirror.Mirror1.${kind} ${name}`,
  );
  return value.replace(/^[a-z]+ /, '').replace(/^"(.*)"$/, '$1');
}

/** The guest's own copy of the resource is as good as its Primary's. */
export function inSync(guest: Guest, name: string, deadlineMs = SYNC_DEADLINE_MS): Promise<true> {
  const script =
    `busctl get-property org.blkmirror.Mirror1 /org/blkmirror/Mirror1/devices/${name} ` +
    'org.blkmirror.Mirror1.Device DiskState';
  return eventually(
    `${name} to be UpToDate on ${guest.name}`,
    async () => ((await guest.run(script)).stdout.includes('"UpToDate"') ? true : undefined),
    deadlineMs,
    1000,
  );
}

/** `guest` has come back, and has what it missed: so says the other node. */
export function rejoined(guest: Guest, other: Guest, name: string): Promise<true> {
  const path = `/org/blkmirror/Mirror1/devices/${name}/peers/${guest.name}`;
  const script =
    `busctl get-property org.blkmirror.Mirror1 ${path} org.blkmirror.Mirror1.Peer ` +
    'ReplicationState DiskState OutOfSyncBytes';
  return eventually(
    `${name} to be in sync on ${guest.name} again`,
    async () => {
      const { stdout } = await other.run(script);
      return stdout.trim() === 's "Established"\ns "UpToDate"\nt 0' ? true : undefined;
    },
    SYNC_DEADLINE_MS,
    1000,
  );
}

/** The resources on both, up and in sync, Primary on alpha. The unit of the first is enabled. */
export async function inSyncPrimary(pair: GuestPair, ...names: string[]): Promise<void> {
  const each = names.map((name) => `blkmirror create-md ${name}`).join(' && ');
  await pair.onBoth(`systemctl start blkmirrord && ${each}`, { deadlineMs: 300_000 });
  await pair.onBoth(`systemctl enable --now blkmirror@${names[0]}`, { deadlineMs: 300_000 });
  const others = names.slice(1).map((name) => `bm_up ${name}`);
  await pair.onBoth([FUNCTIONS, ...others].join(' && '), { deadlineMs: 300_000 });
  for (const name of names) {
    await forcePromotion(pair.alpha, name);
    await inSync(pair.beta, name);
  }
}

async function forcePromotion(guest: Guest, name: string): Promise<void> {
  const device = `/org/blkmirror/Mirror1/devices/${name} org.blkmirror.Mirror1.Device`;
  const call = 'busctl call --timeout=120 org.blkmirror.Mirror1';
  await guest.runOk(`${call} ${device} Promote 'a{sv}' 1 force b true`);
}

/** Shell functions of the package: bm_up, bm_promote, bm_demote, bm_role; quicker than Node. */
export const FUNCTIONS = '. /usr/lib/blkmirror/functions';
