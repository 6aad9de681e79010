/**
 * The commands that give up a copy, or say that it is old: outdate, invalidate,
 * invalidate-remote, and connect with what it would discard.
 */
import { MirrorError } from '../model/errors';
import type { DeviceStatus, PeerStatus } from '../model/status';
import { resourceArgument, UsageError } from './context';
import type { Context } from './context';
import { notUp } from './service';
import type { Options } from './service';
import { dryRunLines, nothingToDiscard } from './splitBrainWords';

export interface ConnectFlags {
  readonly discardMyData?: boolean;
  readonly dryRun?: boolean;
}

export async function connect(
  context: Context,
  argument: string,
  peer: string | undefined,
  flags: ConnectFlags,
): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  const discards = flags.discardMyData === true;
  if (flags.dryRun === true && !discards) {
    throw new UsageError('--dry-run tells what --discard-my-data would do; give both');
  }
  return context.withService(async (service) => {
    const before = discards ? await service.tryDevice(resource) : undefined;
    if (discards && before === undefined) throw notUp(resource);
    await service.device(resource, 'Connect', {
      ...peerOption(peer),
      ...(discards ? { 'discard-my-data': true } : {}),
      ...(flags.dryRun === true ? { 'dry-run': true } : {}),
    });
    for (const line of connectLines(resource, peer, flags, before)) context.output.print(line);
    return 0;
  });
}

export async function outdate(context: Context, argument: string): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'Outdate', {});
    context.output.print(`the copy of ${resource} is Outdated: promoting it takes --force`);
    return 0;
  });
}

export async function invalidate(context: Context, argument: string): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'Invalidate', {});
    context.output.print(`the copy of ${resource} is Inconsistent and copied anew`);
    return 0;
  });
}

export async function invalidateRemote(
  context: Context,
  argument: string,
  peer: string | undefined,
): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    const target = peer ?? onlyPeer(resource, await service.tryDevice(resource));
    await service.device(resource, 'InvalidateRemote', { peer: target });
    context.output.print(`the copy of ${resource} on ${target} is Inconsistent and copied anew`);
    return 0;
  });
}

function connectLines(
  resource: string,
  peer: string | undefined,
  flags: ConnectFlags,
  before: DeviceStatus | undefined,
): readonly string[] {
  const peers = concerned(before, peer);
  if (flags.dryRun === true) return peers.flatMap((one) => dryRunLines(resource, one));
  const harmless = peers.filter((one) => one.splitBrain === null);
  return [
    `${resource} connects to ${peer ?? 'its peers'}`,
    ...harmless.map((one) => nothingToDiscard(resource, one)),
  ];
}

function concerned(device: DeviceStatus | undefined, peer: string | undefined): PeerStatus[] {
  if (device === undefined) return [];
  return device.peers.filter((one) => peer === undefined || one.name === peer);
}

function onlyPeer(resource: string, device: DeviceStatus | undefined): string {
  if (device === undefined) throw notUp(resource);
  const [first, ...others] = device.peers;
  if (first !== undefined && others.length === 0) return first.name;
  const names = device.peers.map((one) => one.name).join(', ');
  throw new MirrorError('InvalidArgs', `${resource} has several peers (${names}): name one`);
}

function peerOption(peer: string | undefined): Options {
  return peer === undefined ? {} : { peer };
}
