/**
 * The names of what is up, kept in the run-dir so that it is up again after the service ended
 * without a `down`. A name leaves the list only by `down`. Written whole, by rename.
 */
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { tryResourceName } from '../config/names';
import { MirrorError, toMirrorError } from '../model/errors';
import type { ResourceName } from '../model/states';
import { MAX_UP_LIST_BYTES } from './limits';

const FILE = 'up.json';

export class UpList {
  private readonly names: Set<ResourceName>;
  private readonly file: string;

  /** Reads what a former service left; what cannot be read counts as nothing, and is told. */
  constructor(
    private readonly runDir: string,
    private readonly log: Logger,
  ) {
    this.file = join(runDir, FILE);
    this.names = new Set(this.read());
  }

  list(): readonly ResourceName[] {
    return [...this.names].sort();
  }

  has(name: string): boolean {
    return this.names.has(name as ResourceName);
  }

  /** Durable when it returns. @throws Failed */
  add(name: ResourceName): void {
    if (this.names.has(name)) return;
    this.write([...this.names, name]);
    this.names.add(name);
  }

  /** Durable when it returns. @throws Failed */
  remove(name: ResourceName): void {
    if (!this.names.has(name)) return;
    this.write([...this.names].filter((other) => other !== name));
    this.names.delete(name);
  }

  private read(): ResourceName[] {
    try {
      const text = readFileSync(this.file, 'utf8');
      if (text.length > MAX_UP_LIST_BYTES) throw new Error('it is too long');
      return parse(text);
    } catch (error) {
      const missing = error instanceof Error && 'code' in error && error.code === 'ENOENT';
      if (!missing) this.log.error({ err: error, file: this.file }, 'nothing is brought up again');
      return [];
    }
  }

  private write(names: readonly ResourceName[]): void {
    const fresh = join(this.runDir, `.${FILE}.new`);
    try {
      const descriptor = openSync(fresh, 'w', 0o644);
      try {
        writeSync(descriptor, `${JSON.stringify({ up: [...names].sort() })}\n`);
        fsyncSync(descriptor);
      } finally {
        closeSync(descriptor);
      }
      renameSync(fresh, this.file);
    } catch (error) {
      const message = `cannot write ${this.file}: ${toMirrorError(error).message}`;
      throw new MirrorError('Failed', message, { cause: error });
    }
  }
}

function parse(text: string): ResourceName[] {
  const value: unknown = JSON.parse(text);
  const up = typeof value === 'object' && value !== null && 'up' in value ? value.up : undefined;
  if (!Array.isArray(up)) throw new Error('it holds no list');
  return up.map((entry: unknown) => {
    const name = typeof entry === 'string' ? tryResourceName(entry) : undefined;
    if (name === undefined) throw new Error('it holds something that is no resource name');
    return name;
  });
}
