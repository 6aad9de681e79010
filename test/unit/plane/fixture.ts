// What the tests of the native plane share: a scratch folder, disks in it, recorded events.

import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MirrorError } from '../../../src/model/errors';
import type { NodeName, ResourceName } from '../../../src/model/states';
import { openNativePlane } from '../../../src/plane/nativePlane';
import type {
  AttachSpec,
  CreateMetadataSpec,
  DeviceEvent,
  DevicePlane,
  Plane,
} from '../../../src/plane/plane';

export const MIB = 1024 * 1024;
const DEADLINE_MS = 20_000;

export const RESOURCE = 'r0' as ResourceName;
export const ALPHA = 'alpha' as NodeName;
export const BETA = 'beta' as NodeName;

/** A plane and a folder of its own, both gone after the test. */
export class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'blkmirror-plane-'));
  readonly plane: Plane = openNativePlane({ onWarning: () => undefined });
  private readonly devices: DevicePlane[] = [];

  path(name: string): string {
    return join(this.folder, name);
  }

  /** A sparse file. */
  disk(name: string, bytes = 64 * MIB): string {
    const path = this.path(name);
    writeFileSync(path, '');
    truncateSync(path, bytes);
    return path;
  }

  async attach(spec: AttachSpec, onEvent: (event: DeviceEvent) => void): Promise<DevicePlane> {
    const device = await this.plane.attach(spec, onEvent);
    this.devices.push(device);
    return device;
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.devices.map((device) => device.close()));
    this.plane.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export function createSpec(
  disk: string,
  change: Partial<CreateMetadataSpec> = {},
): CreateMetadataSpec {
  const metaDisk = 'internal';
  return { resource: RESOURCE, node: ALPHA, disk, metaDisk, maxPeers: 7, force: false, ...change };
}

export function attachSpec(disk: string, change: Partial<AttachSpec> = {}): AttachSpec {
  return {
    resource: RESOURCE,
    node: ALPHA,
    disk,
    metaDisk: 'internal',
    peers: [BETA],
    protocol: 'C',
    alExtents: 0,
    onIoError: 'detach',
    diskTimeoutMs: 0,
    cMaxKibPerSecond: 0,
    cMinKibPerSecond: 250,
    timeoutMs: 6000,
    bootId: 1n,
    // The kernel may still hold the file of a device that has just been closed.
    claimTimeoutMs: 5000,
    ...change,
  };
}

/** What a rejected promise rejected with, as `Code: message`. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof MirrorError) return `${error.code}: ${error.message}`;
    throw error;
  }
  return 'no refusal';
}

/** Collects events and lets a test wait for one. */
export class Recorder<T> {
  readonly seen: T[] = [];
  private waiting: (() => void) | undefined;

  readonly record = (event: T): void => {
    this.seen.push(event);
    this.waiting?.();
  };

  /** The first event, seen or to come, for which `wanted` says yes. */
  async find(wanted: (event: T) => boolean): Promise<T> {
    const deadline = Date.now() + DEADLINE_MS;
    for (;;) {
      const found = this.seen.find(wanted);
      if (found !== undefined) return found;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error('the event did not come');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}
