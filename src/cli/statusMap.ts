/**
 * From what the ObjectManager answers to DeviceStatus, and from property names on the bus to
 * names in JSON. What is missing or of another type is taken as unknown. Pure.
 */
import type { Variant } from 'dbus-next';
import { DEVICE_INTERFACE, PEER_INTERFACE, ROOT_PATH, tryUnescapePathElement } from '../dbus/paths';
import {
  CONNECTION_STATES,
  DISK_STATES,
  PROTOCOLS,
  REPLICATION_STATES,
  ROLES,
} from '../model/states';
import type { NodeName, ResourceName } from '../model/states';
import type { DeviceStatus, PeerStatus, SplitBrainSide, SplitBrainStatus } from '../model/status';

/** Values by property name, out of their variants. */
export type Properties = Readonly<Record<string, unknown>>;
/** Properties by interface, by object path. */
export type ManagedObjects = ReadonlyMap<string, ReadonlyMap<string, Properties>>;

/** Value by name in JSON. */
export type JsonValues = Readonly<Record<string, string | number | boolean | null>>;

export interface ObjectOwner {
  readonly resource: ResourceName;
  /** Absent for the device itself. */
  readonly peer?: NodeName;
}

const UNKNOWN_SIZE = 2n ** 64n - 1n;

/** The devices, sorted by name, with their peers, sorted by name. */
export function readDevices(objects: ManagedObjects): readonly DeviceStatus[] {
  const devices: DeviceStatus[] = [];
  for (const [path, interfaces] of objects) {
    const properties = interfaces.get(DEVICE_INTERFACE);
    const owner = tryOwner(path);
    if (properties === undefined || owner === undefined || owner.peer !== undefined) continue;
    devices.push(readDevice(owner.resource, properties, readPeers(objects, owner.resource)));
  }
  return devices.sort(byName);
}

/** Which resource, and which of its peers, an object path stands for. */
export function tryOwner(path: string): ObjectOwner | undefined {
  const match = /^\/devices\/([^/]+)(?:\/peers\/([^/]+))?$/.exec(path.slice(ROOT_PATH.length));
  if (match === null || !path.startsWith(ROOT_PATH)) return undefined;
  const resource = tryUnescapePathElement(match[1] ?? '');
  if (resource === undefined) return undefined;
  if (match[2] === undefined) return { resource: resource as ResourceName };
  const peer = tryUnescapePathElement(match[2]);
  if (peer === undefined) return undefined;
  return { resource: resource as ResourceName, peer: peer as NodeName };
}

/** The properties a status shows, by their names there. */
export function deviceValues(properties: Properties): JsonValues {
  return {
    role: oneOf(ROLES, properties.Role, 'Unknown'),
    diskState: oneOf(DISK_STATES, properties.DiskState, 'DUnknown'),
    device: textOrNull(properties.DevicePath),
    nbdSocket: textOrNull(properties.NbdSocket),
    sizeBytes: sizeOrNull(properties.SizeBytes),
    protocol: oneOf(PROTOCOLS, properties.Protocol, 'C'),
    suspended: properties.Suspended === true,
    suspendedReason: textOrNull(properties.SuspendedReason) ?? '',
    currentUuid: textOrNull(properties.CurrentUuid),
    mayPromote: properties.MayPromote === true,
  };
}

export function peerValues(properties: Properties): JsonValues {
  const percent = properties.ResyncDonePercent;
  return {
    address: textOrNull(properties.Address) ?? '',
    connectionState: oneOf(CONNECTION_STATES, properties.ConnectionState, 'Unconnected'),
    reason: textOrNull(properties.Reason) ?? '',
    replicationState: oneOf(REPLICATION_STATES, properties.ReplicationState, 'Off'),
    role: oneOf(ROLES, properties.Role, 'Unknown'),
    diskState: oneOf(DISK_STATES, properties.DiskState, 'DUnknown'),
    outOfSyncBytes: sizeOrNull(properties.OutOfSyncBytes),
    resyncDonePercent: typeof percent === 'number' && percent >= 0 ? percent : null,
    resyncBytesPerSecond: sizeOrNull(properties.ResyncBytesPerSecond) ?? 0,
  };
}

function readSplitBrain(dictionary: unknown): SplitBrainStatus | null {
  if (typeof dictionary !== 'object' || dictionary === null) return null;
  const entries = Object.entries(dictionary as Readonly<Record<string, Variant>>);
  if (entries.length === 0) return null;
  const values = Object.fromEntries(entries.map(([name, { value }]) => [name, value as unknown]));
  return {
    partedMs: timeOrNull(values['parted-time']),
    resyncBytes: sizeOrNull(values['resync-bytes']) ?? 0,
    local: readSide('local', values),
    peer: readSide('peer', values),
  };
}

function readSide(side: string, values: Properties): SplitBrainSide {
  const primary = values[`${side}-was-primary`];
  return {
    role: oneOf(ROLES, values[`${side}-role`], 'Unknown'),
    wasPrimary: oneOf(['whenParted', 'afterwards', 'never'] as const, primary, 'never'),
    changedBytes: sizeOrNull(values[`${side}-changed-bytes`]) ?? 0,
    partedMs: timeOrNull(values[`${side}-parted-time`]),
    promotedMs: timeOrNull(values[`${side}-promoted-time`]),
  };
}

/** Milliseconds since 1970. */
function timeOrNull(value: unknown): number | null {
  const microseconds = sizeOrNull(value);
  return microseconds === null ? null : Math.round(microseconds / 1000);
}

function readDevice(
  name: ResourceName,
  properties: Properties,
  peers: readonly PeerStatus[],
): DeviceStatus {
  return { name, ...deviceValues(properties), peers } as DeviceStatus;
}

function readPeers(objects: ManagedObjects, resource: ResourceName): readonly PeerStatus[] {
  const peers: PeerStatus[] = [];
  for (const [path, interfaces] of objects) {
    const properties = interfaces.get(PEER_INTERFACE);
    const owner = tryOwner(path);
    if (properties === undefined || owner?.peer === undefined) continue;
    if (owner.resource !== resource) continue;
    const splitBrain = readSplitBrain(properties.SplitBrain);
    peers.push({ name: owner.peer, ...peerValues(properties), splitBrain } as PeerStatus);
  }
  return peers.sort(byName);
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : 1;
}

function oneOf<T extends string>(known: readonly T[], value: unknown, otherwise: T): T {
  return known.find((each) => each === value) ?? otherwise;
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? value : null;
}

function sizeOrNull(value: unknown): number | null {
  if (typeof value === 'bigint') return value === UNKNOWN_SIZE ? null : Number(value);
  return typeof value === 'number' ? value : null;
}
