/**
 * A kernel device in the files of the system: its attributes in sysfs, what the udev rules are
 * told of it, and its links in /dev. `roots` are other folders in tests.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

export interface KernelRoots {
  readonly sys: string;
  readonly dev: string;
  readonly proc: string;
  readonly run: string;
}

export const SYSTEM_ROOTS: KernelRoots = {
  sys: '/sys',
  dev: '/dev',
  proc: '/proc',
  run: '/run',
};

/** After this, requests that were sent and not answered are sent again on a new connection. */
const IO_TIMEOUT_MS = 1000;
/** Of one request: four pieces of the data plane. */
const MAX_SECTORS_KB = 1024;
/** In a udev rule's file without quoting. */
const PLAIN_PATH = /^[\w./:+=@-]+$/;

export class KernelTree {
  constructor(readonly roots: KernelRoots) {}

  /** `/dev/nbdN`. */
  devicePath(index: number): string {
    return join(this.roots.dev, `nbd${index}`);
  }

  linkPath(resource: string): string {
    return join(this.roots.dev, 'blkmirror', resource);
  }

  /** Those that exist. */
  indexes(): readonly number[] {
    const names = listFolder(join(this.roots.sys, 'block'));
    return names.flatMap((name) => /^nbd(\d+)$/.exec(name)?.[1] ?? []).map(Number);
  }

  /** undefined where it is not connected, or this kernel does not tell. */
  tryIdentifier(index: number): string | undefined {
    return this.isConnected(index) ? this.tryRead(index, 'backend') : undefined;
  }

  isConnected(index: number): boolean {
    return existsSync(this.attribute(index, 'pid'));
  }

  /** For the udev rules, before the device is connected. */
  announce(index: number, resource: string, disk: string): void {
    const name = /^\/dev\/(.+)$/.exec(disk)?.[1];
    const lines = [`BLKMIRROR_RESOURCE=${resource}`, 'BLKMIRROR_ROLE=Primary'];
    if (name !== undefined && PLAIN_PATH.test(name)) lines.push(`BLKMIRROR_DISK=${name}`);
    mkdirSync(join(this.roots.run, 'blkmirror', 'udev'), { recursive: true });
    writeFileSync(this.announcement(index), `${lines.join('\n')}\n`);
  }

  /** It was announced and not withdrawn since: a device that was given up is no longer ours. */
  isAnnounced(index: number): boolean {
    return existsSync(this.announcement(index));
  }

  /** The rules see nothing of us any more, from the next event on. */
  withdraw(index: number): void {
    rmSync(this.announcement(index), { force: true });
  }

  /** Makes udev look at the device again. */
  tellUdev(index: number): void {
    this.tryWrite(this.attribute(index, 'uevent'), 'change');
  }

  /**
   * Before it is connected: the kernel lets all requests end first, and of a connected device the
   * data plane may not answer any yet.
   */
  chooseScheduler(index: number): void {
    this.tryWrite(this.attribute(index, 'queue/scheduler'), 'none');
  }

  /**
   * Of a device that is served: newer kernels let its requests end first here, too, so this is not
   * waited for. What cannot be set stays: it is a matter of speed or of a longer pause.
   */
  async tune(index: number): Promise<void> {
    const wanted = Number(this.tryRead(index, 'queue/max_hw_sectors_kb') ?? MAX_SECTORS_KB);
    const sectorsKb = Math.min(wanted, MAX_SECTORS_KB);
    await tryWriteLater(this.attribute(index, 'queue/io_timeout'), String(IO_TIMEOUT_MS));
    await tryWriteLater(this.attribute(index, 'queue/max_sectors_kb'), String(sectorsKb));
  }

  /** Somebody listens to what the kernel tells of devices. */
  get hasUdev(): boolean {
    return existsSync(join(this.roots.run, 'udev', 'control'));
  }

  isLinked(resource: string, index: number): boolean {
    try {
      const target = readlinkSync(this.linkPath(resource));
      return target.split('/').at(-1) === `nbd${index}`;
    } catch {
      return false;
    }
  }

  /** Where udev does not. */
  link(resource: string, index: number): void {
    const path = this.linkPath(resource);
    mkdirSync(join(this.roots.dev, 'blkmirror'), { recursive: true });
    rmSync(path, { force: true });
    symlinkSync(`../nbd${index}`, path);
  }

  unlink(resource: string, index: number): void {
    if (this.isLinked(resource, index)) rmSync(this.linkPath(resource), { force: true });
  }

  private announcement(index: number): string {
    return join(this.roots.run, 'blkmirror', 'udev', `nbd${index}.env`);
  }

  private attribute(index: number, name: string): string {
    return join(this.roots.sys, 'block', `nbd${index}`, name);
  }

  private tryRead(index: number, name: string): string | undefined {
    try {
      return readFileSync(this.attribute(index, name), 'utf8').trim();
    } catch {
      return undefined;
    }
  }

  private tryWrite(file: string, text: string): void {
    if (!existsSync(file)) return;
    try {
      writeFileSync(file, text);
    } catch {
      // This kernel does not take it.
    }
  }
}

async function tryWriteLater(file: string, text: string): Promise<void> {
  if (existsSync(file)) await writeFile(file, text).catch(() => undefined);
}

function listFolder(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}
