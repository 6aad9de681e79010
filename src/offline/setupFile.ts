/**
 * The configuration file of `blkmirror setup /dev/nbdN DISK THIS-HOST PEER-HOST`, the ad-hoc
 * form of 1999: resource nbdN with two nodes, on port 7788 unless a host says otherwise.
 *
 * A file that setup wrote may be written anew by it; any other is left alone. The peer's own
 * file says which disk the peer uses. Called by the command line.
 */
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { dirname } from 'node:path';
import { isOwnAddress } from '../config/across';
import { DEFAULT_PORT, parseAddress } from '../config/address';
import { resourceFile } from '../config/load';
import { nodeNameProblem } from '../config/names';
import { MirrorError } from '../model/errors';
import type { Plane } from '../plane/plane';
import { tryReadMetadata } from './createMd';
import { checkDiskPath } from './diskChecks';

export interface SetupRequest {
  readonly configDir: string;
  /** `nbdN`. */
  readonly resource: string;
  readonly disk: string;
  /** HOST, HOST:PORT or NAME=HOST[:PORT]. */
  readonly thisHost: string;
  readonly peerHost: string;
  /** The name this node goes by. */
  readonly nodeName: string;
  /** The kernel has nbd. */
  readonly kernel: boolean;
}

interface Host {
  /** Empty: not given. */
  readonly name: string;
  readonly host: string;
  readonly address: string;
}

const MARK = '; Written by: blkmirror setup';

/**
 * Writes the file unless the same is there.
 * @returns its path
 * @throws InvalidArgs (hosts), DeviceInUse (another file is there), Failed
 */
export function writeSetupFile(request: SetupRequest): string {
  const [here, there] = nameByAddress(
    parseHost(request.thisHost),
    parseHost(request.peerHost),
    request.nodeName,
  );
  const self = { ...here, name: ownName(here, request) };
  const peer = { ...there, name: peerName(there, here, self) };
  if (peer.name === '') throw wrong(unnamedPeer(request.peerHost));
  if (self.name === peer.name) {
    throw wrong(`both hosts are called ${peer.name}; a mirror needs two`);
  }
  if (self.address === peer.address) {
    throw wrong(`both hosts have the address ${peer.address}; give each its own host or port`);
  }
  const file = resourceFile(request.configDir, request.resource);
  writeUnlessSame(file, fileText(request, self, peer));
  return file;
}

/**
 * Makes sure that the disk can be attached.
 * @throws NotAttached, naming the create-md command to run
 */
export async function checkSetupDisk(
  disk: string,
  createMdCommand: string,
  plane: Plane,
): Promise<void> {
  checkDiskPath(disk, 'disk');
  if ((await tryReadMetadata(plane, disk, 'internal')) !== undefined) return;
  const message = `${disk} has no blkmirror metadata yet; run: ${createMdCommand} and then this \
command again`;
  throw new MirrorError('NotAttached', message);
}

function fileText(request: SetupRequest, self: Host, peer: Host): string {
  const { resource, disk, thisHost, peerHost, kernel } = request;
  const quoted = JSON.stringify(disk);
  const node = (host: Host): string =>
    `[node "${host.name}"]\naddress = ${host.address}\ndisk = ${quoted}\n`;
  return `${MARK} /dev/${resource} ${JSON.stringify(disk)} ${thisHost} ${peerHost}
; setup may write this file anew; to keep changes of your own, remove these two lines.
[resource]
device = ${kernel ? `/dev/${resource}` : 'none'}
${node(self)}${node(peer)}`;
}

function parseHost(text: string): Host {
  const named = /^([^=]*)=(.*)$/.exec(text);
  const written = named === null ? text : (named[2] ?? '');
  const bare = /^\[[^\]]*\]$|^[^:]*$/.test(written);
  const address = bare ? `${written}:${DEFAULT_PORT}` : written;
  const parsed = parseAddress(address);
  if (!parsed.ok) throw wrong(`${JSON.stringify(text)}: ${parsed.problem}`);
  const { host } = parsed.address;
  const numeric = /^[0-9.]+$|:/.test(host);
  const name = named === null ? (numeric ? '' : host) : (named[1] ?? '');
  const problem = name === '' && named === null ? undefined : nodeNameProblem(name);
  if (problem !== undefined) throw wrong(problem);
  return { name, host, address };
}

/** Two hosts given by IPv4 addresses are called by them where the first alone is this machine. */
function nameByAddress(here: Host, there: Host, nodeName: string): readonly [Host, Host] {
  const unnamed = here.name === '' && there.name === '' && isIPv4(here.host) && isIPv4(there.host);
  const certain = here.host === nodeName || (isOwnAddress(here.host) && !isOwnAddress(there.host));
  if (!unnamed || !certain) return [here, there];
  return [
    { ...here, name: here.host },
    { ...there, name: there.host },
  ];
}

/** The name under which this node finds its own section. */
function ownName(host: Host, request: SetupRequest): string {
  const { nodeName } = request;
  const short = nodeName.split('.', 1)[0] ?? '';
  if (host.name === '') return nodeName;
  if (host.name === host.host && isOwnAddress(host.name)) return host.name;
  if (host.name === nodeName || host.name === short) return host.name;
  if (host.name.split('.', 1)[0] === nodeName) return nodeName;
  throw wrong(`this node is called ${nodeName}, not ${host.name}; give the hosts in the order \
THIS-HOST PEER-HOST, or write ${nodeName}=${host.address}`);
}

/** Where this node goes by its short name so does the peer: on it the same two names come out. */
function peerName(peer: Host, here: Host, self: Host): string {
  const short = peer.name.split('.', 1)[0] ?? '';
  return here.name === self.name || short === self.name || here.name === '' ? peer.name : short;
}

function unnamedPeer(text: string): string {
  return `which node is ${text}? give the peer's host name, or write NAME=${text}`;
}

function writeUnlessSame(file: string, text: string): void {
  const present = tryReadText(file);
  if (present === text) return;
  if (present !== undefined && !present.startsWith(MARK)) {
    const message = `${file} is there already and was not written by setup; change that file, or \
remove it first`;
    throw new MirrorError('DeviceInUse', message);
  }
  const draft = `${file}.new`;
  try {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(draft, text, { mode: 0o644 });
    chmodSync(draft, 0o644);
    renameSync(draft, file);
  } catch (error) {
    rmSync(draft, { force: true });
    throw new MirrorError('Failed', `cannot write ${file}: ${String(error)}`, { cause: error });
  }
}

function tryReadText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const missing =
      typeof error === 'object' && error !== null && 'code' in error && error.code === 'ENOENT';
    if (missing) return undefined;
    throw new MirrorError('Failed', `cannot read ${file}: ${String(error)}`, { cause: error });
  }
}

function wrong(message: string): MirrorError {
  return new MirrorError('InvalidArgs', message);
}
