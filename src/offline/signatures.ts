/**
 * What else is on a disk: file systems, RAID members, LVM, partition tables and whatever
 * `blkid --probe` (util-linux) knows, on block devices and on files. Called by createMd.ts and
 * adopt.ts.
 */
import { execFile } from 'node:child_process';
import { MirrorError } from '../model/errors';
import { BLKID_DEADLINE_MS, BLKID_OUTPUT_BYTES } from './limits';

export interface Signature {
  /** As blkid calls it: its TYPE, else PTTYPE; empty for several kinds at once. */
  readonly type: string;
  /** `an ext4 file system labelled "data"`. */
  readonly words: string;
}

/** What was found, in words; undefined: nothing. */
export async function findSignature(path: string): Promise<string | undefined> {
  return (await findContent(path))?.words;
}

export async function findContent(path: string): Promise<Signature | undefined> {
  const result = await runBlkid(path);
  switch (result.status) {
    case 0:
      return contentOf(result.stdout);
    case 2:
      return undefined;
    case 8:
      return { type: '', words: 'signatures of several kinds' };
    default:
      throw new MirrorError('Failed', `cannot look for signatures on ${path}: ${result.reason}`);
  }
}

interface BlkidResult {
  readonly status: number;
  readonly stdout: string;
  readonly reason: string;
}

function runBlkid(path: string): Promise<BlkidResult> {
  const options = {
    timeout: BLKID_DEADLINE_MS,
    maxBuffer: BLKID_OUTPUT_BYTES,
    env: { PATH: `/usr/sbin:/sbin:${process.env.PATH ?? '/usr/bin:/bin'}`, LC_ALL: 'C' },
  };
  const args = ['--probe', '--output', 'export', '--', path];
  return new Promise((resolve) => {
    execFile('blkid', args, options, (error, stdout) => {
      if (error === null) resolve({ status: 0, stdout, reason: '' });
      else if (typeof error.code === 'number')
        resolve({ status: error.code, stdout, reason: `blkid ended with ${error.code}` });
      else if (error.killed === true)
        resolve({ status: -1, stdout, reason: 'blkid took too long' });
      else resolve({ status: -1, stdout, reason: 'blkid cannot be run; install util-linux' });
    });
  });
}

/**
 * What `blkid --probe --output export` said is there. Of a partition it also says where it lies in
 * its table, even when nothing is on it.
 */
export function contentOf(exported: string): Signature | undefined {
  const values = parseExport(exported);
  const told = [...values.keys()].filter((key) => !/^(DEVNAME$|PART_ENTRY_)/.test(key));
  return told.length === 0 ? undefined : signatureOf(values);
}

function parseExport(text: string): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0)
      values.set(line.slice(0, equals), line.slice(equals + 1).replace(/\\(.)/g, '$1'));
  }
  return values;
}

const KINDS: Readonly<Record<string, string>> = {
  filesystem: 'file system',
  raid: 'RAID or LVM member',
  crypto: 'encrypted volume',
};

function signatureOf(values: ReadonlyMap<string, string>): Signature {
  const type = values.get('TYPE') ?? values.get('PTTYPE') ?? '';
  return { type, words: describe(values) };
}

function describe(values: ReadonlyMap<string, string>): string {
  const type = values.get('TYPE');
  const label = values.get('LABEL');
  if (type === undefined) {
    const table = values.get('PTTYPE');
    return table === undefined ? 'a signature' : `a partition table (${table})`;
  }
  if (type === 'swap') return 'swap space';
  const kind = KINDS[values.get('USAGE') ?? ''] ?? 'signature';
  const article = /^[aeiou]/i.test(type) ? 'an' : 'a';
  const named = label === undefined ? '' : ` labelled ${JSON.stringify(label)}`;
  return `${article} ${type} ${kind}${named}`;
}
