/**
 * The commands on metadata that nothing has attached: `dump-md`, `restore-md`, `repair-md`,
 * `resize`. Like create-md they need neither service nor bus, and load the data plane only when
 * they run.
 */
import { dumpMd } from '../offline/dumpMd';
import { dumpLines } from '../offline/dumpText';
import { describeRepair, repairFailure, repairMd } from '../offline/repairMd';
import { resizeCopy } from '../offline/resize';
import { restoreMd } from '../offline/restoreMd';
import { resourceArgument } from './context';
import type { Context } from './context';
import { DUMP_LINES_AT_ONCE } from './limits';

export interface DumpOptions {
  readonly force?: boolean;
}

export interface RestoreOptions {
  readonly force?: boolean;
  readonly unchanged?: boolean;
}

export interface RepairOptions {
  readonly scan?: boolean;
  readonly stateDir?: string;
}

export interface ResizeOptions {
  readonly size?: string;
  readonly stateDir?: string;
}

/** Where the service keeps its state unless it is told otherwise. */
const DEFAULT_STATE_DIR = '/var/lib/blkmirror';

export async function dumpMdCommand(
  context: Context,
  argument: string,
  options: DumpOptions,
): Promise<number> {
  const { configDir, nodeName, output } = context;
  const resource = resourceArgument(argument, context.configDir);
  const request = { configDir, resource, nodeName, force: options.force === true };
  const { withPlane } = await import('../offline/openPlane.js');
  const { copy, dump } = await withPlane((_, tools) => dumpMd(request, tools));
  if (dump.attached) {
    output.complain(`${copy.place} is attached: the dump may be half-way through a change`);
  }
  if (dump.damagedPages > 0) {
    const pages = `${dump.damagedPages} damaged metadata pages on ${copy.place}`;
    output.complain(`${pages} count as hot or out of sync; repair-md ${resource} repairs them`);
  }
  let lines: string[] = [];
  for (const line of dumpLines(dump)) {
    lines.push(line);
    if (lines.length < DUMP_LINES_AT_ONCE) continue;
    output.print(lines.join('\n'));
    lines = [];
  }
  if (lines.length > 0) output.print(lines.join('\n'));
  return 0;
}

export async function restoreMdCommand(
  context: Context,
  argument: string,
  file: string,
  options: RestoreOptions,
): Promise<number> {
  const { configDir, nodeName, output } = context;
  const resource = resourceArgument(argument, context.configDir);
  const force = options.force === true;
  const unchanged = options.unchanged === true;
  const request = { configDir, resource, nodeName, file, force, unchanged };
  const { withPlane } = await import('../offline/openPlane.js');
  const { copy, markedAll } = await withPlane((_, tools) => restoreMd(request, tools));
  const how = markedAll ? 'with everything out of sync' : 'as it was dumped';
  output.print(
    `restored the metadata of ${resource} for ${copy.node.name} on ${copy.place}, ${how}`,
  );
  output.print(`next: ${context.commandLine(`up ${resource}`, ['bus'])}`);
  return 0;
}

export async function repairMdCommand(
  context: Context,
  argument: string,
  options: RepairOptions,
): Promise<number> {
  const { configDir, nodeName, output } = context;
  const resource = resourceArgument(argument, context.configDir);
  const scan = options.scan === true;
  const stateDir = options.stateDir ?? DEFAULT_STATE_DIR;
  const request = { configDir, resource, nodeName, stateDir, scan };
  const { withPlane } = await import('../offline/openPlane.js');
  const result = await withPlane((_, tools) => repairMd(request, tools));
  for (const line of describeRepair(result)) output.print(line);
  if (!result.report.repaired) throw repairFailure(result, scan);
  return 0;
}

export async function resizeCommand(
  context: Context,
  argument: string,
  options: ResizeOptions,
): Promise<number> {
  const { configDir, nodeName, output } = context;
  const resource = resourceArgument(argument, context.configDir);
  const stateDir = options.stateDir ?? DEFAULT_STATE_DIR;
  const request = { configDir, resource, nodeName, stateDir, size: options.size };
  const { withPlane } = await import('../offline/openPlane.js');
  const { copy, report } = await withPlane((_, tools) => resizeCopy(request, tools));
  const { oldBytes, newBytes } = report;
  output.print(
    `${resource} offers ${newBytes} bytes on ${copy.node.name} (${oldBytes} before); what is new \
is out of sync until the peers have it, too`,
  );
  const words = `resize ${resource} --size ${newBytes}`;
  output.print(`next: ${words} on every other node, then up ${resource} on all`);
  return 0;
}
