// fio against the NBD socket of a node: what it writes it can verify later, also elsewhere.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SystemNode } from './systemNode';
import { runOk } from './systemProcess';

export interface FioSpec {
  readonly node: SystemNode;
  readonly resource?: string;
  readonly sizeBytes: number;
  /** Clients, each with a part of the device of its own. */
  readonly clients?: number;
  readonly depth?: number;
  /** fio's bsrange. */
  readonly blockSizes?: string;
  readonly seed?: number;
  readonly extra?: readonly string[];
}

/** Writes everywhere at random and reads all of it back, by checksum. */
export async function fioWriteAndVerify(spec: FioSpec): Promise<void> {
  await fio(spec, ['--rw=randwrite', '--do_verify=1']);
}

/** Writes at random without reading back. */
export async function fioWrite(spec: FioSpec): Promise<void> {
  await fio(spec, ['--rw=randwrite', '--do_verify=0']);
}

/** Reads back what the same specification wrote before, on whatever node. */
export async function fioVerify(spec: FioSpec): Promise<void> {
  await fio(spec, ['--rw=randwrite', '--verify_only']);
}

async function fio(spec: FioSpec, mode: readonly string[]): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'blkmirror-fio-'));
  try {
    await runOk('fio', fioArguments(spec, folder, mode), { deadlineMs: 120_000 });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function fioArguments(spec: FioSpec, folder: string, mode: readonly string[]): string[] {
  const clients = spec.clients ?? 4;
  // A whole number of the largest block, so that no client reaches into another's part.
  const part = Math.floor(spec.sizeBytes / clients / 1_048_576) * 1_048_576;
  return [
    '--name=mirror',
    '--ioengine=nbd',
    `--uri=${spec.node.uri(spec.resource)}`,
    `--size=${part}`,
    `--offset_increment=${part}`,
    `--numjobs=${clients}`,
    '--thread',
    '--group_reporting',
    `--iodepth=${spec.depth ?? 32}`,
    `--bsrange=${spec.blockSizes ?? '512-1M'}`,
    '--verify=crc32c',
    '--verify_fatal=1',
    '--verify_state_save=0',
    `--randseed=${spec.seed ?? 1}`,
    `--aux-path=${folder}`,
    ...mode,
    ...(spec.extra ?? []),
  ];
}
