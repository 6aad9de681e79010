// What the house tests read: the tree's files and their text. Used only by test/unit/house.

import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(__dirname, '..', '..', '..');

export interface SourceFile {
  /** Relative to the tree, with forward slashes. */
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
}

/** The files that belong to the tree (tracked or not yet added), for which `wanted` says yes. */
export function sourceFiles(wanted: RegExp): SourceFile[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard', '-z'];
  const listing = execFileSync('git', args, { cwd: root, encoding: 'utf8', maxBuffer: 1 << 24 });
  return listing
    .split('\0')
    .filter((path) => wanted.test(path) && existsSync(join(root, path)))
    .sort()
    .map(readSource);
}

function readSource(path: string): SourceFile {
  const text = readFileSync(join(root, path), 'utf8');
  const lines = text.split('\n');
  if (lines.at(-1) === '') lines.pop();
  return { path, text, lines };
}
