// Where a benchmark's files lie: in memory or on the disk's file system. All contenders of one
// place start together, each with files of its own of the same size, written in full before.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { scratchFolder } from '../support/systemProcess';
import { makeSparseFile } from '../support/systemCluster';
import { rmSync } from 'node:fs';
import { startMirror } from './blkmirror';
import type { Contender, Named } from './contender';
import { measure } from './fio';
import { startGluster, whyNoGluster } from './gluster';
import { startFile, startNull } from './nbdkit';
import { startMirrorJob, startPlain, startQuorum } from './qemu';
import { rawFile, rawPair } from './raw';

export type PlaceName = 'tmpfs' | 'disk';

export interface PlaceSpec {
  readonly name: PlaceName;
  readonly sizeBytes: number;
  readonly contenders: readonly string[];
  /** qemu-storage-daemon; without it, its contenders are left out. */
  readonly qemu: string | undefined;
}

export interface Place {
  readonly name: PlaceName;
  readonly sizeBytes: number;
  readonly contenders: readonly Contender[];
  /** Those that cannot take part; their settings say why. */
  readonly absent: readonly Named[];
  close(): Promise<void>;
}

/** Beside the device, for the metadata. */
const METADATA_BYTES = 16 * 1024 * 1024;

export const CONTENDERS = [
  'blkmirror',
  'qemu quorum',
  'qemu mirror',
  'qemu plain',
  'GlusterFS',
  'nbdkit null',
  'nbdkit file',
  'raw file',
  'raw pair',
] as const;

export async function openPlace(spec: PlaceSpec): Promise<Place> {
  const folder = scratchFolder(spec.name === 'tmpfs');
  const contenders: Contender[] = [];
  const absent: Named[] = [];
  const close = async (): Promise<void> => {
    for (const contender of contenders) await contender.close();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    for (const name of spec.contenders) {
      const why = whyAbsent(name, spec);
      if (why !== undefined) {
        absent.push({ name, settings: why });
        continue;
      }
      const started = await startOne(name, spec, join(folder, name.replace(' ', '-')));
      contenders.push(started);
      await fill(started, spec.sizeBytes);
    }
  } catch (error) {
    await close();
    throw error;
  }
  return { name: spec.name, sizeBytes: spec.sizeBytes, contenders, absent, close };
}

function whyAbsent(name: string, { qemu }: PlaceSpec): string | undefined {
  if (name === 'GlusterFS') return whyNoGluster();
  if (name.startsWith('qemu') && qemu === undefined) return 'version 10 cannot be had';
  return undefined;
}

async function startOne(
  name: string,
  { name: place, sizeBytes, qemu }: PlaceSpec,
  folder: string,
): Promise<Contender> {
  mkdirSync(folder);
  if (name === 'GlusterFS') return startGluster(folder);
  const files: [string, string] = [join(folder, 'first'), join(folder, 'second')];
  for (const file of files) makeSparseFile(file, sizeBytes);
  switch (name) {
    case 'blkmirror':
      return startMirror({ tmpfs: place === 'tmpfs', diskBytes: sizeBytes + METADATA_BYTES });
    case 'nbdkit null':
      return startNull(folder, sizeBytes);
    case 'nbdkit file':
      return startFile(folder, files[0]);
    case 'raw file':
      return rawFile(files[0]);
    case 'raw pair':
      return rawPair(files[0], files[1]);
  }
  const place10 = { program: qemu ?? '', folder, files };
  if (name === 'qemu quorum') return startQuorum(place10);
  if (name === 'qemu mirror') return startMirrorJob(place10);
  if (name === 'qemu plain') return startPlain(place10);
  throw new Error(`there is no contender ${name}; there are ${CONTENDERS.join(', ')}`);
}

/** So that no write of the measurement allocates blocks. */
async function fill(contender: Contender, sizeBytes: number): Promise<void> {
  await measure(contender, { fioWords: ['--rw=write', '--bs=1M', '--iodepth=8'], sizeBytes });
}
