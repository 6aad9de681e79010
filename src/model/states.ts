/**
 * State names, exactly as DRBD's, and the branded identifiers used everywhere.
 */

export const ROLES = ['Primary', 'Secondary', 'Unknown'] as const;
export type Role = (typeof ROLES)[number];

/**
 * What a write's acknowledgement waits for beside the local disk: A, it is in the send buffer;
 * B, the peer has received it; C, the peer has written it.
 */
export const PROTOCOLS = ['A', 'B', 'C'] as const;
export type Protocol = (typeof PROTOCOLS)[number];

/** `Unconnected` and the reasons it was entered for are separate: see {@link ConnectionLoss}. */
export const CONNECTION_STATES = [
  'StandAlone',
  'Disconnecting',
  'Unconnected',
  'Connecting',
  'Connected',
] as const;
export type ConnectionState = (typeof CONNECTION_STATES)[number];

/** Why a connection fell. */
export const CONNECTION_LOSSES = [
  'Timeout',
  'BrokenPipe',
  'NetworkFailure',
  'ProtocolError',
] as const;
export type ConnectionLoss = (typeof CONNECTION_LOSSES)[number];

export const REPLICATION_STATES = [
  'Off',
  'Established',
  'WFBitMapS',
  'WFBitMapT',
  'SyncSource',
  'SyncTarget',
  'PausedSyncS',
  'PausedSyncT',
  'VerifyS',
  'VerifyT',
  'Ahead',
  'Behind',
] as const;
export type ReplicationState = (typeof REPLICATION_STATES)[number];

export const DISK_STATES = [
  'Diskless',
  'Attaching',
  'Detaching',
  'Failed',
  'Negotiating',
  'Inconsistent',
  'Outdated',
  'DUnknown',
  'Consistent',
  'UpToDate',
] as const;
export type DiskState = (typeof DISK_STATES)[number];

/** What a node may be unsure of in a peer, it knows of itself. */
export type OwnRole = Exclude<Role, 'Unknown'>;
export type OwnDiskState = Exclude<DiskState, 'DUnknown'>;

export type ResourceName = string & { readonly brand: 'ResourceName' };
export type NodeName = string & { readonly brand: 'NodeName' };

/** A generation identifier, 64 bits. 0n: none; {@link JUST_CREATED_UUID}: nothing written yet. */
export type Uuid = bigint;
export const JUST_CREATED_UUID: Uuid = 4n;

/** 16 hex digits. */
export function formatUuid(uuid: Uuid): string {
  return uuid.toString(16).padStart(16, '0');
}

/** The inverse of {@link formatUuid}; undefined when `text` is not 16 hex digits. */
export function tryParseUuid(text: unknown): Uuid | undefined {
  if (typeof text !== 'string' || !/^[0-9a-f]{16}$/.test(text)) return undefined;
  return BigInt(`0x${text}`);
}

export function assertNever(value: never): never {
  throw new Error(`unexpected value ${String(value)}`);
}
