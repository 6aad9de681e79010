/**
 * The kernel's NBD driver as the control plane sees it: what nativeKernel.ts asks of the addon,
 * and tests of a fake. Methods reject with MirrorError; descriptors are the caller's.
 */

/** A kernel device as the driver is told of it. */
export interface KernelDeviceSpec {
  /** N of `/dev/nbdN`. */
  readonly index: number;
  readonly sizeBytes: bigint;
  /** 512 or 4096. */
  readonly blockBytes: number;
  /** How long requests wait for a new connection when theirs is dead; then they fail. */
  readonly deadWaitSeconds: number;
  /** Whose device it is; the same from connect() to disconnect(). */
  readonly identifier: string;
}

export interface KernelDeviceState {
  readonly index: number;
  readonly connected: boolean;
}

export interface KernelDriver {
  /** @throws NotFound: the kernel has no nbd */
  status(): Promise<readonly KernelDeviceState[]>;
  /**
   * This end of a new device's connection.
   * @throws NotFound, DeviceInUse (connected already), NotAuthorized (not root), Failed
   */
  connect(spec: KernelDeviceSpec): Promise<number>;
  /**
   * The same for a device whose connection is dead; its size stays.
   * @throws InTransition (it is not dead yet), NotFound, Failed
   */
  reconfigure(spec: KernelDeviceSpec): Promise<number>;
  /** What waits fails. Succeeds when it is not connected. @throws NotFound, Failed */
  disconnect(index: number): Promise<void>;
  /**
   * The whole device, until the descriptor is closed; what was written to its cache is written
   * back. @throws DeviceInUse
   */
  claim(path: string): Promise<number>;
  close(fd: number): void;
}
