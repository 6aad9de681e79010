/**
 * Checks of what is handed to the data plane, before it crosses into C++.
 */
import { MirrorError } from '../model/errors';
import { MAX_CONTROL_BYTES, MAX_PEERS } from '../model/limits';
import type {
  AttachSpec,
  CreateMetadataSpec,
  DeviceOptions,
  DialSpec,
  SocketOptions,
} from './plane';

const MAX_NAME_BYTES = 63;
const MAX_UINT32 = 0xffff_ffff;
const MAX_INT32 = 0x7fff_ffff;
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;
/** Slots 0 to 31. */
const MAX_SLOT = 31;

function refuse(message: string): never {
  throw new MirrorError('InvalidArgs', message);
}

/** An integer from `least` to `most`. */
export function checkInteger(what: string, value: number, least: number, most: number): void {
  if (Number.isInteger(value) && value >= least && value <= most) return;
  refuse(`${what} is ${value}: it must be an integer from ${least} to ${most}`);
}

export function checkName(what: string, name: string): void {
  const bytes = Buffer.byteLength(name);
  if (bytes >= 1 && bytes <= MAX_NAME_BYTES && !name.includes('\0')) return;
  refuse(`the ${what} "${name}" must have 1 to ${MAX_NAME_BYTES} bytes`);
}

export function checkPath(what: string, path: string): void {
  if (path === '' || path.includes('\0')) refuse(`the path of the ${what} must not be empty`);
}

export function checkSlot(slot: number): void {
  checkInteger('the slot', slot, 0, MAX_SLOT);
}

export function checkIncarnation(incarnation: number): void {
  checkInteger('the incarnation', incarnation, 0, MAX_UINT32);
}

export function checkUuid(uuid: bigint): void {
  if (uuid < 0n || uuid > MAX_UINT64) refuse(`${uuid} is no 64-bit generation identifier`);
}

/** The text of a control frame. */
export function checkControlText(text: string): void {
  const bytes = Buffer.byteLength(text);
  if (bytes >= 2 && bytes <= MAX_CONTROL_BYTES) return;
  refuse(`a control frame of ${bytes} bytes: 2 to ${MAX_CONTROL_BYTES} are possible`);
}

export function checkCreate(spec: CreateMetadataSpec): void {
  checkName("resource's name", spec.resource);
  checkName("node's name", spec.node);
  checkPath('disk', spec.disk);
  checkPath('meta-disk', spec.metaDisk);
  checkInteger('max-peers', spec.maxPeers, 1, MAX_PEERS);
  if (spec.currentUuid !== undefined) checkUuid(spec.currentUuid);
  if (spec.ancestorUuid !== undefined) checkUuid(spec.ancestorUuid);
  const equals = spec.equals ?? [];
  for (const peer of equals) checkName("peer's name", peer);
  checkInteger('the number of equal peers', equals.length, 0, spec.maxPeers);
}

export function checkAttach(spec: AttachSpec): void {
  checkName("resource's name", spec.resource);
  checkName("node's name", spec.node);
  checkPath('disk', spec.disk);
  checkPath('meta-disk', spec.metaDisk);
  for (const peer of spec.peers) checkName("peer's name", peer);
  checkInteger('the number of peers', spec.peers.length, 0, MAX_PEERS);
  checkDeviceOptions(spec);
  checkInteger('the time to wait for the disk', spec.claimTimeoutMs, 0, MAX_INT32);
}

export function checkDeviceOptions(options: DeviceOptions): void {
  checkInteger('al-extents', options.alExtents, 0, MAX_UINT32);
  checkInteger('timeout-ms', options.timeoutMs, 1, MAX_INT32);
  checkInteger('disk-timeout-ms', options.diskTimeoutMs, 0, MAX_INT32);
  checkInteger('c-max-rate', options.cMaxKibPerSecond, 0, MAX_INT32);
  checkInteger('c-min-rate', options.cMinKibPerSecond, 0, MAX_INT32);
}

export function checkDial(spec: DialSpec): void {
  checkInteger('the port', spec.port, 1, 65_535);
  checkInteger('the time to connect', spec.timeoutMs, 1, MAX_INT32);
  checkBuffers(spec);
  checkControlText(spec.hello);
}

export function checkBuffers(options: SocketOptions): void {
  checkInteger('sndbuf-bytes', options.sndbufBytes, 0, MAX_INT32);
  checkInteger('rcvbuf-bytes', options.rcvbufBytes, 0, MAX_INT32);
}
