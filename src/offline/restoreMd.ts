/**
 * `restore-md`: puts a dump back. The file is read and checked wholly before anything is written.
 *
 * The bitmap of a dump says what was out of sync then. Nothing proves that nothing was written
 * since but metadata that is still the same; in every other case everything is marked out of
 * sync, unless the administrator says `--unchanged`, and that is refused where it is known to be
 * wrong. Generations are restored as they were: peers that have seen newer ones refuse the copy
 * as reverted. Called by the command line.
 */
import { readFileSync, statSync } from 'node:fs';
import { MirrorError } from '../model/errors';
import type { MetadataDump, MetadataImage, MetadataTools } from '../plane/metadataTools';
import { CRASHED, PEER_FULL_SYNC } from './dumpFields';
import { parseDump } from './dumpParse';
import type { ParsedDump } from './dumpParse';
import { MAX_DUMP_BYTES } from './limits';
import { BLOCK_BYTES, countOf, wholeSlot } from './outOfSync';
import { findOwnCopy } from './ownCopy';
import type { CopyRequest, OwnCopy } from './ownCopy';

export interface RestoreMdRequest extends CopyRequest {
  /** `-`: standard input. */
  readonly file: string;
  /** Overwrites metadata that is there. */
  readonly force: boolean;
  /** The data is what it was when the file was dumped. */
  readonly unchanged: boolean;
}

export interface RestoreMdResult {
  readonly copy: OwnCopy;
  /** Everything was marked out of sync. */
  readonly markedAll: boolean;
}

/** What is on the disk now: nothing, something that cannot be read, or metadata. */
type Present = 'none' | 'unreadable' | MetadataDump;

/** @throws NotFound, InvalidArgs (the file), DeviceInUse (attached, metadata there), NotAttached */
export async function restoreMd(
  request: RestoreMdRequest,
  tools: MetadataTools,
): Promise<RestoreMdResult> {
  const copy = findOwnCopy(request);
  const parsed = parseDump(shownName(request.file), readDump(request.file));
  checkWhose(copy, parsed.image, request.file);
  const present = await readPresent(copy, tools);
  if (present !== 'none' && !request.force) {
    const message = `${copy.place} already holds metadata; to overwrite it add --force`;
    throw new MirrorError('DeviceInUse', message);
  }
  const exact = isExact(request, parsed, present, copy.place);
  await tools.restoreMetadata({
    resource: copy.config.name,
    disk: copy.node.disk,
    metaDisk: copy.node.metaDisk,
    force: request.force,
    expectedRevision: typeof present === 'string' ? 0n : present.superblock.revision,
    image: exact ? parsed.image : markedAll(parsed.image),
  });
  return { copy, markedAll: !exact };
}

function shownName(file: string): string {
  return file === '-' ? 'standard input' : file;
}

function readDump(file: string): string {
  try {
    if (file === '-') return readFileSync(0, 'utf8');
    const { size } = statSync(file);
    if (size <= MAX_DUMP_BYTES) return readFileSync(file, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new MirrorError('NotFound', `cannot read ${shownName(file)}: ${reason}`, {
      cause: error,
    });
  }
  throw new MirrorError('InvalidArgs', `${file} is too large for a metadata dump`);
}

function checkWhose(copy: OwnCopy, { superblock }: MetadataImage, file: string): void {
  const { resource, node } = superblock;
  if (resource === copy.config.name && node === copy.node.name) return;
  const message = `${shownName(file)} is the metadata of resource ${resource} on node ${node}, not \
of ${copy.config.name} on ${copy.node.name}`;
  throw new MirrorError('InvalidArgs', message);
}

async function readPresent(copy: OwnCopy, tools: MetadataTools): Promise<Present> {
  const { disk, metaDisk } = copy.node;
  try {
    return await tools.dumpMetadata(copy.config.name, disk, metaDisk, false);
  } catch (error) {
    if (!(error instanceof MirrorError) || error.code !== 'NotAttached') throw error;
    return errnoOf(error.cause) === 'ENODATA' ? 'none' : 'unreadable';
  }
}

/** Whether the dump's bitmap may be believed. */
function isExact(
  request: RestoreMdRequest,
  { image, attached }: ParsedDump,
  present: Present,
  place: string,
): boolean {
  const wrong = attached ? 'the file was dumped while the copy was attached' : undefined;
  const differs = typeof present !== 'string' && !isSame(present.superblock, image.superblock);
  const reason = wrong ?? (differs ? `${place} was attached or repaired since` : undefined);
  if (reason === undefined) return request.unchanged || typeof present !== 'string';
  if (!request.unchanged) return false;
  const message = `--unchanged cannot be: ${reason}; without it everything is marked out of sync`;
  throw new MirrorError('InvalidArgs', message);
}

function isSame(a: MetadataImage['superblock'], b: MetadataImage['superblock']): boolean {
  const same = a.metadataId === b.metadataId && a.generation === b.generation;
  return same && a.revision === b.revision;
}

/** As after a crash in which everything was hot: whoever stayed up is the source. */
function markedAll(image: MetadataImage): MetadataImage {
  const { superblock, slots } = image;
  const whole = wholeSlot(countOf(superblock.deviceBytes, BLOCK_BYTES));
  const peers = superblock.peers.map((peer) =>
    peer.name === '' ? peer : { ...peer, flags: peer.flags | PEER_FULL_SYNC },
  );
  return {
    superblock: { ...superblock, flags: superblock.flags | CRASHED, peers },
    hot: image.hot,
    slots: slots.map(() => whole),
  };
}

function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
