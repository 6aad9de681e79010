/**
 * `repair-md`: makes metadata whole again from what is left of it, or says what is left to do.
 * Needs no daemon; the claim keeps it off a copy that is attached. Called by the command line.
 */
import { MirrorError } from '../model/errors';
import type { MetadataTools, RepairReport } from '../plane/metadataTools';
import { lastPlace } from './lastPlace';
import { findOwnCopy } from './ownCopy';
import type { CopyRequest, OwnCopy } from './ownCopy';

export interface RepairMdRequest extends CopyRequest {
  /** Of the service: where it noted the metadata's last place. */
  readonly stateDir: string;
  /** Looks on the whole disk for a superblock. */
  readonly scan: boolean;
}

export interface RepairMdResult {
  readonly copy: OwnCopy;
  readonly report: RepairReport;
}

/** @throws NotFound, InvalidArgs, DeviceInUse (attached), NotAttached (of something else) */
export async function repairMd(
  request: RepairMdRequest,
  tools: MetadataTools,
): Promise<RepairMdResult> {
  const copy = findOwnCopy(request);
  const report = await tools.repairMetadata({
    resource: copy.config.name,
    node: copy.node.name,
    disk: copy.node.disk,
    metaDisk: copy.node.metaDisk,
    lastSuperblockOffset: lastPlace(request.stateDir, copy),
    scan: request.scan,
  });
  return { copy, report };
}

/** What was found and done, a line each. */
export function describeRepair({ copy, report }: RepairMdResult): string[] {
  const lines: string[] = [];
  if (report.moved) {
    lines.push(
      `the superblock was at ${report.strays[0]?.offset ?? 0n}, where ${copy.place} ended before \
it grew: it is at the new end now; data, activity log and bitmap stay where they are`,
    );
  } else {
    report.slots.forEach((problem, slot) => {
      if (problem === '') return;
      const done = report.repaired ? ': written anew from the other' : '';
      lines.push(`superblock ${slot + 1} of 2: ${problem}${done}`);
    });
  }
  if (report.logPages > 0) {
    lines.push(`${count(report.logPages, 'activity-log page')}: what it covered is hot, and out of \
sync from the next up on`);
  }
  if (report.bitmapPages > 0) {
    lines.push(`${count(report.bitmapPages, 'bitmap page')}: what it covered is out of sync`);
  }
  if (!report.repaired) return [...lines, ...describeStrays(copy, report)];
  return lines.length > 0 ? lines : [`the metadata on ${copy.place} is whole: nothing to repair`];
}

/** What is left to do when nothing could be repaired. */
export function repairFailure({ copy }: RepairMdResult, scanned: boolean): MirrorError {
  const scan = scanned
    ? ''
    : 'to look on the whole disk, which takes as long as reading it, add \
--scan; ';
  const { name } = copy.config;
  const message = `no usable superblock of ${name} on ${copy.place}; ${scan}restore a dump with \
restore-md ${name} FILE --force; else what is left is create-md ${name} --force and a full resync`;
  return new MirrorError('NotAttached', message);
}

function count(pages: number, what: string): string {
  return pages === 1 ? `one damaged ${what}` : `${pages} damaged ${what}s`;
}

function describeStrays(copy: OwnCopy, { strays }: RepairReport): string[] {
  return strays.map(({ offset, superblock }) => {
    const { resource, node, internal, metadataDiskBytes, generation } = superblock;
    const kind = internal === 1n ? 'internal' : 'external';
    return `found at ${offset}: ${kind} metadata of resource ${resource}, node ${node}, attached \
${generation} times, when ${copy.place} had ${metadataDiskBytes} bytes`;
  });
}
