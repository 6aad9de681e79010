/**
 * The commands `status` and `events`.
 */
import { BUS_NAME } from '../dbus/paths';
import { MirrorError } from '../model/errors';
import type { DeviceStatus } from '../model/status';
import { configuredResources } from '../offline/configured';
import type { Signal } from './bus';
import { ChangeTracker } from './changes';
import type { MirrorEvent } from './changes';
import { resourceArgument } from './context';
import type { Context } from './context';
import { renderEvent, renderJsonEvent } from './eventsView';
import { READ_DEADLINE_MS } from './limits';
import { notUp } from './service';
import type { Service } from './service';
import { renderStatus } from './statusView';
import { Waiter } from './waiting';

export async function status(
  context: Context,
  argument: string | undefined,
  options: { readonly json?: boolean },
): Promise<number> {
  const resource =
    argument === undefined ? undefined : resourceArgument(argument, context.configDir);
  const all = await context.withService((service) => service.devices());
  const shown = resource === undefined ? all : all.filter((device) => device.name === resource);
  if (options.json === true) {
    context.output.print(JSON.stringify(shown, null, 2));
    return 0;
  }
  if (resource !== undefined && shown.length === 0) throw whyNotUp(context, resource);
  context.output.print(humanStatus(context, shown));
  return 0;
}

function humanStatus(context: Context, devices: readonly DeviceStatus[]): string {
  if (devices.length > 0) return renderStatus(devices, context.output.paint);
  const { names } = configuredResources(context.configDir);
  const first = names[0];
  if (first === undefined) {
    return `no resource is up, and none is configured in ${context.configDir}/resources.d`;
  }
  const command = context.commandLine(`up ${first}`, ['bus']);
  return `no resource is up; configured: ${names.join(', ')}; bring one up with: ${command}`;
}

function whyNotUp(context: Context, resource: string): MirrorError {
  const { names } = configuredResources(context.configDir);
  if (names.length === 0 || names.includes(resource)) return notUp(resource);
  const message = `there is no resource ${resource}; configured: ${names.join(', ')}`;
  return new MirrorError('NotFound', message);
}

/** Ends with 1 when the service does, with 0 on Ctrl-C. */
export async function events(
  context: Context,
  options: { readonly json?: boolean },
): Promise<number> {
  return context.withService(async (service) => {
    await service.requireRunning();
    const waiter = new Waiter();
    const signals: Signal[] = [];
    let lost = '';
    service.bus.onLost(() => {
      lost = 'the bus is gone';
      waiter.wakeUp();
    });
    service.bus.onSignal((signal) => {
      if (isOwnerLoss(signal)) lost = 'blkmirrord has ended';
      else signals.push(signal);
      waiter.wakeUp();
    });
    try {
      await service.subscribe();
      await printEvents(context, service, waiter, signals, options.json === true, () => lost);
    } finally {
      waiter.close();
    }
    if (lost === '') return 0;
    throw new MirrorError('NotConnected', lost);
  });
}

/** Until the service is lost or Ctrl-C. */
async function printEvents(
  context: Context,
  service: Service,
  waiter: Waiter,
  signals: Signal[],
  json: boolean,
  lost: () => string,
): Promise<void> {
  const tracker = new ChangeTracker();
  const print = (event: MirrorEvent): void => {
    const now = new Date();
    const line = json ? renderJsonEvent(event, now) : renderEvent(event, now, context.output.paint);
    if (line !== undefined) context.output.print(line);
  };
  tracker.begin(await service.objects()).forEach(print);
  while (!waiter.isInterrupted) {
    for (const signal of signals.splice(0)) tracker.next(signal).forEach(print);
    if (lost() !== '') return;
    await waiter.wait(READ_DEADLINE_MS);
  }
}

function isOwnerLoss(signal: Signal): boolean {
  if (signal.member !== 'NameOwnerChanged') return false;
  return signal.body[0] === BUS_NAME && signal.body[2] === '';
}
