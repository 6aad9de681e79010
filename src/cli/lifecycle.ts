/**
 * The commands `up` and `down`, for one resource or for all.
 */
import { configuredResources, waitForPeersMs } from '../offline/configured';
import type { ResourceName } from '../model/states';
import { resourceArgument } from './context';
import type { Context } from './context';
import { followDevice } from './follow';
import { waitForPeers } from './peersWait';
import type { Service } from './service';
import { reasonOf } from './words';

export interface UpOptions {
  readonly wait?: boolean;
}

/** Exit status. */
export async function up(context: Context, argument: string, options: UpOptions): Promise<number> {
  if (argument !== 'all') {
    const resource = resourceArgument(argument, context.configDir);
    return context.withService(async (service) => {
      await service.up(resource);
      if (options.wait === true) return waitForAll(context, service, [resource]);
      await reportUp(context, service, resource);
      return 0;
    });
  }
  const { names, problems } = configuredResources(context.configDir);
  if (problems !== '') context.output.complain(problems);
  if (names.length === 0) {
    context.output.complain(`no resource is configured in ${context.configDir}/resources.d`);
    return problems === '' ? 0 : 1;
  }
  return context.withService(async (service) => {
    const brought: string[] = [];
    const failures = await forEach(context, names, async (name) => {
      await service.up(name);
      brought.push(name);
      if (options.wait !== true) context.output.print(`${name} is up`);
    });
    const waited = options.wait === true ? await waitForAll(context, service, brought) : 0;
    return failures === 0 && problems === '' ? waited : 1;
  });
}

export async function down(context: Context, argument: string): Promise<number> {
  if (argument !== 'all') {
    const resource = resourceArgument(argument, context.configDir);
    return context.withService(async (service) => {
      await service.down(resource);
      context.output.print(`${resource} is down`);
      return 0;
    });
  }
  return context.withService(async (service) => {
    const names = (await service.devices()).map((device) => device.name);
    const failures = await forEach(context, names, async (name) => {
      await service.down(name);
      context.output.print(`${name} is down`);
    });
    return failures === 0 ? 0 : 1;
  });
}

/** Goes on after a failure. Returns how many there were. */
async function forEach(
  context: Context,
  names: readonly string[],
  action: (name: string) => Promise<void>,
): Promise<number> {
  let failures = 0;
  for (const name of names) {
    try {
      await action(name);
    } catch (error) {
      failures++;
      const reason = reasonOf(error);
      context.output.complain(reason.includes(name) ? reason : `${name}: ${reason}`);
    }
  }
  return failures;
}

/** All at once, each as long as its own configuration says. Exit status. */
async function waitForAll(
  context: Context,
  service: Service,
  names: readonly string[],
): Promise<number> {
  const ends = await Promise.all(
    names.map(async (name) => {
      context.output.print(`${name} is up`);
      const waitMs = waitForPeersMs(context.configDir, name);
      return waitForPeers(service, name as ResourceName, waitMs, context.output);
    }),
  );
  return ends.every((whole) => whole) ? 0 : 1;
}

async function reportUp(context: Context, service: Service, resource: ResourceName): Promise<void> {
  context.output.print(`${resource} is up`);
  if (!context.output.isTerminal) return;
  const end = await followDevice(service, resource, context.output);
  if (end === 'done') context.output.print(`${resource} is in sync`);
  if (end === 'interrupted') {
    const command = context.commandLine(`status ${resource}`, ['bus']);
    context.output.print(`the resync goes on; see: ${command}`);
  }
}
