/**
 * The kernel's NBD driver over the addon; opened by nativePlane.ts.
 */
import { closeSync } from 'node:fs';
import type { KernelAddon } from './addon';
import type { KernelDeviceSpec, KernelDeviceState, KernelDriver } from './kernelDriver';
import { toPlaneError } from './nativeErrors';
import type { ErrnoCodes } from './nativeErrors';

const CODES: ErrnoCodes = {
  ENOENT: 'NotFound',
  EBUSY: 'DeviceInUse',
  EPERM: 'NotAuthorized',
  EACCES: 'NotAuthorized',
  ESTALE: 'InTransition',
};

export class NativeKernel implements KernelDriver {
  constructor(private readonly addon: KernelAddon) {}

  status(): Promise<readonly KernelDeviceState[]> {
    return translate(this.addon.nbdStatus());
  }

  async connect(spec: KernelDeviceSpec): Promise<number> {
    return (await translate(this.addon.nbdConnect(spec))).fd;
  }

  async reconfigure(spec: KernelDeviceSpec): Promise<number> {
    return (await translate(this.addon.nbdReconfigure(spec))).fd;
  }

  async disconnect(index: number): Promise<void> {
    await translate(this.addon.nbdDisconnect(index));
  }

  async claim(path: string): Promise<number> {
    return (await translate(this.addon.claimBlockDevice(path))).fd;
  }

  close(fd: number): void {
    closeSync(fd);
  }
}

async function translate<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toPlaneError(error, CODES);
  }
}
