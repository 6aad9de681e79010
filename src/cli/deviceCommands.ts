/**
 * The commands on one device that is up: promote, demote, attach, detach, disconnect,
 * resync.
 */
import type { ResourceName } from '../model/states';
import { resourceArgument, UsageError } from './context';
import type { Context } from './context';
import { followJob } from './follow';
import type { Options, Service } from './service';

export async function promote(
  context: Context,
  argument: string,
  options: { readonly force?: boolean },
): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'Promote', options.force === true ? { force: true } : {});
    const device = await service.tryDevice(resource);
    const place = device?.device ?? device?.nbdSocket ?? '';
    context.output.print(`${resource} is Primary${place === '' ? '' : `, served on ${place}`}`);
    return 0;
  });
}

export async function demote(context: Context, argument: string): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'Demote', {});
    context.output.print(`${resource} is Secondary`);
    return 0;
  });
}

export async function attach(context: Context, argument: string): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'Attach', {});
    context.output.print(`${resource} is attached`);
    return 0;
  });
}

export async function detach(
  context: Context,
  argument: string,
  options: { readonly force?: boolean },
): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'Detach', options.force === true ? { force: true } : {});
    context.output.print(`${resource} is detached`);
    return 0;
  });
}

export async function disconnect(
  context: Context,
  argument: string,
  peer: string | undefined,
): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'Disconnect', peerOption(peer));
    context.output.print(`${resource} is disconnected from ${peer ?? 'its peers'}`);
    return 0;
  });
}

export async function resumeIo(context: Context, argument: string): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  return context.withService(async (service) => {
    await service.device(resource, 'ResumeIo', {});
    context.output.print(`I/O of ${resource} goes on`);
    return 0;
  });
}

export interface ResyncOptions {
  readonly full?: boolean;
  readonly from?: string;
  readonly to?: string;
  readonly wait?: boolean;
}

export async function resync(
  context: Context,
  argument: string,
  options: ResyncOptions,
): Promise<number> {
  const resource = resourceArgument(argument, context.configDir);
  if (options.from !== undefined && options.to !== undefined) {
    throw new UsageError('--from and --to exclude each other: data goes one way; give one of them');
  }
  return context.withService(async (service) => {
    const [job] = await service.device(resource, 'Resync', {
      ...(options.full === true ? { full: true } : {}),
      ...(options.from === undefined ? {} : { from: options.from }),
      ...(options.to === undefined ? {} : { to: options.to }),
    });
    if (options.wait === true) return waitForResync(context, service, String(job), resource);
    const state = await service.tryJob(String(job), resource);
    const command = context.commandLine(`status ${resource}`, ['bus']);
    const running = state?.state === 'running';
    context.output.print(
      running ? `the resync of ${resource} runs; see: ${command}` : `${resource} is in sync`,
    );
    return 0;
  });
}

async function waitForResync(
  context: Context,
  service: Service,
  job: string,
  resource: ResourceName,
): Promise<number> {
  const end = await followJob(service, job, resource, context.output);
  if (end === 'done') {
    context.output.print(`${resource} is in sync`);
    return 0;
  }
  const command = context.commandLine(`status ${resource}`, ['bus']);
  context.output.complain(`not waiting any longer; the resync goes on, see: ${command}`);
  return 1;
}

function peerOption(peer: string | undefined): Options {
  return peer === undefined ? {} : { peer };
}
