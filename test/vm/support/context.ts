// What one run of `npm run test:vm` prepares for all its test files, handed on in a file.

import { readFileSync, writeFileSync } from 'node:fs';
import type { Image } from './machine';

/** The disk a guest's own lies over, and the memory that goes with it where it need not boot. */
export interface Base {
  readonly disk: string;
  readonly format: 'raw' | 'qcow2';
  readonly memory?: string;
}

export interface Context {
  readonly image: Image;
  /** Booted, nothing installed. */
  readonly booted: Base;
  /** The same with the package; its service does not run. */
  readonly installed: Base;
  /** Where each test file leaves consoles and journals. */
  readonly logs: string;
  /** All rounds and the long tests too. */
  readonly full: boolean;
}

const VARIABLE = 'BLKMIRROR_VM_CONTEXT';

export function writeContext(file: string, context: Context): void {
  writeFileSync(file, JSON.stringify(context));
  process.env[VARIABLE] = file;
}

export function readContext(): Context {
  const file = process.env[VARIABLE];
  if (file === undefined) throw new Error('guest tests are run by `npm run test:vm`');
  return JSON.parse(readFileSync(file, 'utf8')) as Context;
}
