/**
 * The commands that touch a disk themselves: `create-md`, and `setup`, the ad-hoc form of 1999.
 * They load the data plane only when they run: the other commands do without the addon.
 */
import { basename, resolve } from 'node:path';
import { resourceArgument, UsageError } from './context';
import type { Context } from './context';
import { createMd } from '../offline/createMd';
import type { CreateMdResult, InitialData } from '../offline/createMd';
import type { ResourceName } from '../model/states';
import type { DeviceStatus } from '../model/status';
import { hasNbd } from '../offline/kernelModule';
import { checkSetupDisk, writeSetupFile } from '../offline/setupFile';
import { formatBytes } from './units';
import { shellQuoted } from './words';

export interface CreateMdOptions {
  readonly force?: boolean;
  readonly maxPeers?: string;
  readonly adopt?: boolean;
  readonly skipInitialSync?: boolean;
  readonly zero?: boolean;
}

export async function createMdCommand(
  context: Context,
  argument: string,
  options: CreateMdOptions,
): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  const request = {
    configDir: context.configDir,
    resource,
    nodeName: context.nodeName,
    force: options.force === true,
    maxPeers: options.maxPeers === undefined ? undefined : peerCount(options.maxPeers),
    initialData: initialDataOf(options),
  };
  const { withPlane } = await import('../offline/openPlane.js');
  const result = await withPlane((plane, tools) => createMd(request, plane, tools));
  context.output.print(describe(resource, result));
  for (const line of remarks(resource, request.initialData)) context.output.print(line);
  context.output.print(`next: ${context.commandLine(`up ${resource}`, ['bus'])}`);
  return 0;
}

function initialDataOf({ adopt, skipInitialSync, zero }: CreateMdOptions): InitialData {
  if (adopt === true && skipInitialSync === true) {
    throw new UsageError(
      '--adopt is for one node with data, --skip-initial-sync for none: give one',
    );
  }
  if (zero === true && skipInitialSync !== true) {
    throw new UsageError('--zero goes with --skip-initial-sync');
  }
  if (adopt === true) return 'adopt';
  if (skipInitialSync !== true) return 'nothing';
  return zero === true ? 'zeroed' : 'equal';
}

function remarks(resource: string, initialData: InitialData): string[] {
  switch (initialData) {
    case 'nothing':
      return [];
    case 'adopt':
      return [
        `the data on it is kept: promote ${resource} here works without --force; on the other \
nodes run create-md without --adopt, and they are filled from this one`,
      ];
    case 'equal':
      return [
        `run the same on every node, with disks of the same size. blocks never written may \
differ between the nodes: to make them equal, add --zero`,
      ];
    case 'zeroed':
      return ['run the same on every node, with disks of the same size'];
  }
}

function describe(resource: string, result: CreateMdResult): string {
  const { node, metadata, maxPeers } = result;
  const place = node.metaDisk === 'internal' ? 'at the end of it' : `on ${node.metaDisk}`;
  const usable = formatBytes(Number(metadata.sizeBytes));
  return `wrote metadata of ${resource} for ${node.name}: ${usable} usable on ${node.disk}, \
metadata ${place}, room for ${maxPeers} peers`;
}

function peerCount(text: string): number {
  const count = /^[0-9]{1,2}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= 31) return count;
  throw new UsageError(`--max-peers ${JSON.stringify(text)}: give a number from 1 to 31`);
}

export async function setup(
  context: Context,
  device: string,
  disk: string,
  thisHost: string,
  peerHost: string,
): Promise<number> {
  if (!/^\/dev\/nbd[0-9]{1,5}$/.test(device)) {
    throw new UsageError(`${JSON.stringify(device)} is no nbd device; give one such as /dev/nbd0`);
  }
  const resource = basename(device) as ResourceName;
  return context.withService(async (service) => {
    const nodeName = context.givenNodeName ?? (await service.nodeName());
    const kernel = await hasNbd();
    const request = { configDir: context.configDir, resource, disk: resolve(disk), kernel };
    const file = writeSetupFile({ ...request, thisHost, peerHost, nodeName });
    const node = context.givenNodeName === undefined ? ` --node ${shellQuoted(nodeName)}` : '';
    const create = context.commandLine(`create-md ${resource}`, ['configDir', 'node']);
    const command = create.replace(' create-md', `${node} create-md`);
    const { withPlane } = await import('../offline/openPlane.js');
    await withPlane((plane) => checkSetupDisk(request.disk, command, plane));
    await service.up(resource);
    context.output.print(`${resource} is up (${file})`);
    const hint = promoteHint(await service.tryDevice(resource));
    if (hint === undefined) return 0;
    const promote = context.commandLine(`promote ${device}${hint}`, ['bus']);
    context.output.print(`next, on the host that is to use it: ${promote}`);
    return 0;
  });
}

/** What to add to `promote`; undefined when a Primary is there already. */
function promoteHint(device: DeviceStatus | undefined): string | undefined {
  if (device === undefined || device.role === 'Primary') return undefined;
  if (device.peers.some((peer) => peer.role === 'Primary')) return undefined;
  return device.diskState === 'Inconsistent' ? ' --force' : '';
}
