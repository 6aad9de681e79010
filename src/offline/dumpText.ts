/**
 * The text form of metadata, which dump-md writes and restore-md reads (dumpParse.ts). Stable:
 * `format` is raised with every change that an older restore-md would not understand.
 *
 * Identifiers are 16 hex digits, sizes and offsets bytes; `hot` are runs of 4 MiB extents,
 * `out-of-sync` of 4 KiB blocks, FIRST-LAST, counted from the device's start.
 */
import type { MetadataDump } from '../plane/metadataTools';
import { formatField, PEER_FIELDS, SUPERBLOCK_FIELDS } from './dumpFields';
import { BLOCK_BYTES, countOf, EXTENT_BYTES, runsOfBits, runsOfSlot } from './outOfSync';
import type { Run } from './outOfSync';

export const DUMP_FORMAT = 1;
export const DUMP_SECTION = 'blkmirror-metadata';

/** Lines without their ends. */
export function* dumpLines(dump: MetadataDump): Generator<string> {
  const { superblock } = dump;
  const blocks = countOf(superblock.deviceBytes, BLOCK_BYTES);
  yield `# put it back with: blkmirror restore-md ${superblock.resource} FILE`;
  yield `[${DUMP_SECTION}]`;
  yield `format = ${DUMP_FORMAT}`;
  yield `attached = ${dump.attached ? 'yes' : 'no'}`;
  yield '[superblock]';
  yield `resource = ${JSON.stringify(superblock.resource)}`;
  yield `node = ${JSON.stringify(superblock.node)}`;
  for (const { key, member, kind } of SUPERBLOCK_FIELDS) {
    yield `${key} = ${formatField(kind, superblock[member])}`;
  }
  for (const uuid of superblock.historyUuids) yield `history-uuid = ${formatField('hex', uuid)}`;
  for (const peer of superblock.peers) {
    yield `[peer ${peer.slot}]`;
    yield `name = ${JSON.stringify(peer.name)}`;
    for (const { key, member, kind } of PEER_FIELDS) {
      yield `${key} = ${formatField(kind, peer[member])}`;
    }
  }
  yield '[activity-log]';
  const extents = countOf(superblock.deviceBytes, EXTENT_BYTES);
  for (const run of runsOfBits(dump.hot, extents)) yield `hot = ${runText(run)}`;
  for (const [slot, image] of dump.slots.entries()) {
    yield `[bitmap ${slot}]`;
    for (const run of runsOfSlot(image, blocks)) yield `out-of-sync = ${runText(run)}`;
  }
}

function runText([first, last]: Run): string {
  return first === last ? `${first}` : `${first}-${last}`;
}
