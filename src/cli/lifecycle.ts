/**
 * The commands `up` and `down`, for one resource or for all.
 */
import { configuredResources } from '../offline/configured';
import { resourceArgument } from './context';
import type { Context } from './context';
import { followDevice } from './follow';
import type { Service } from './service';
import { reasonOf } from './words';

/** Exit status. */
export async function up(context: Context, argument: string): Promise<number> {
  if (argument !== 'all') {
    const resource = resourceArgument(argument);
    return context.withService(async (service) => {
      await service.up(resource);
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
    const failures = await forEach(context, names, async (name) => {
      await service.up(name);
      context.output.print(`${name} is up`);
    });
    return failures === 0 && problems === '' ? 0 : 1;
  });
}

export async function down(context: Context, argument: string): Promise<number> {
  if (argument !== 'all') {
    const resource = resourceArgument(argument);
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

async function reportUp(
  context: Context,
  service: Service,
  resource: ReturnType<typeof resourceArgument>,
): Promise<void> {
  context.output.print(`${resource} is up`);
  if (!context.output.isTerminal) return;
  const end = await followDevice(service, resource, context.output);
  if (end === 'done') context.output.print(`${resource} is in sync`);
  if (end === 'interrupted') {
    const command = context.commandLine(`status ${resource}`, ['bus']);
    context.output.print(`the resync goes on; see: ${command}`);
  }
}
