/**
 * Where each resource's superblock was last seen, one small file for each in the state directory,
 * so that a backing disk that grew does not hide its metadata. Written whole, by rename; what
 * cannot be read or written is logged and does no harm. Used when a resource attaches.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { ResourceName } from '../model/states';
import type { SuperblockLocations } from '../resource/core';
import { MAX_LOCATION_BYTES } from './limits';

export class Locations implements SuperblockLocations {
  constructor(
    private readonly stateDir: string,
    private readonly log: Logger,
  ) {}

  tryGet(resource: ResourceName, disk: string): bigint | undefined {
    const file = this.file(resource);
    try {
      const text = readFileSync(file, 'utf8');
      if (text.length > MAX_LOCATION_BYTES) throw new Error('it is too long');
      const found: unknown = JSON.parse(text);
      return isLocation(found) && found.disk === disk ? BigInt(found.offsetBytes) : undefined;
    } catch (error) {
      const missing = error instanceof Object && 'code' in error && error.code === 'ENOENT';
      if (!missing) this.log.warn({ err: error, file }, 'the last place of the metadata is lost');
      return undefined;
    }
  }

  put(resource: ResourceName, disk: string, offset: bigint): void {
    const file = this.file(resource);
    try {
      const text = JSON.stringify({ disk, offsetBytes: offset.toString() });
      writeFileSync(`${file}.new`, `${text}\n`);
      renameSync(`${file}.new`, file);
    } catch (error) {
      this.log.warn({ err: error, file }, 'the place of the metadata is not remembered');
    }
  }

  private file(resource: ResourceName): string {
    return join(this.stateDir, `${resource}.json`);
  }
}

function isLocation(value: unknown): value is { disk: string; offsetBytes: string } {
  if (typeof value !== 'object' || value === null) return false;
  if (!('disk' in value) || typeof value.disk !== 'string') return false;
  return 'offsetBytes' in value && /^[0-9]{1,20}$/.test(String(value.offsetBytes));
}
