/**
 * What the service, D-Bus and tests see of one resource: commands, status and change events.
 *
 * Implemented by `resource.ts`. Commands reject with MirrorError and resolve when their effect
 * is there and durable. One command runs at a time for each resource; a second one that would
 * change the same thing gets InTransition or waits its turn.
 */
import type { ResourceConfig } from '../config/types';
import type { MirrorError } from '../model/errors';
import type { NodeName, ResourceName } from '../model/states';
import type { DeviceStatus } from '../model/status';

export interface ResyncRequest {
  readonly full: boolean;
  readonly from?: NodeName;
  readonly to?: NodeName;
}

/** The resync that a Resync call started or joined. `progress()` until it is settled. */
export interface ResyncRun {
  readonly peer: NodeName;
  progress(): { readonly fraction: number; readonly bytesPerSecond: number };
  /** Resolves when both copies are identical; rejects with why it ended otherwise. */
  readonly finished: Promise<void>;
  cancel(): void;
}

export interface ConnectOptions {
  readonly peer?: NodeName;
  readonly discardMyData: boolean;
  /** Checks whether it would be refused, and changes nothing. */
  readonly dryRun?: boolean;
}

/** Whether another process of the service follows at once. */
export type Ending = 'stop' | 'restart';

export interface MirrorDevice {
  readonly name: ResourceName;
  /** It ends or has ended, cleanly or not: nothing can be asked of it any more. */
  readonly isOver: boolean;
  /** Resolves when a kernel device that was left for it is served, or is given up. */
  readonly resumed: Promise<void>;
  status(): DeviceStatus;
  promote(options: { readonly force: boolean }): Promise<void>;
  demote(): Promise<void>;
  resync(request: ResyncRequest): Promise<ResyncRun>;
  /** The backing disk of the configuration, after it was detached; a Primary is resynced first. */
  attach(): Promise<void>;
  /** Without a disk; a Primary is served by its peers. @throws NotUpToDate unless `force` */
  detach(options: { readonly force: boolean }): Promise<void>;
  /** The local copy becomes Inconsistent and is copied anew. */
  invalidate(): Promise<void>;
  /** The peer's copy becomes Inconsistent and is copied anew from here. */
  invalidateRemote(peer: NodeName): Promise<void>;
  /** The local copy is known to be older than another: promoting it takes force. */
  outdate(): Promise<void>;
  connect(options: ConnectOptions): Promise<void>;
  disconnect(options: { readonly peer?: NodeName }): Promise<void>;
  /** The administrator knows that no lost peer is Primary. Nothing happens when none waits. */
  resumeIo(): Promise<void>;
  /** Takes over what may change while up; rejects and changes nothing otherwise. */
  reconfigure(config: ResourceConfig): Promise<void>;
  /** Disconnects, detaches cleanly. @throws DeviceInUse while Primary with clients */
  down(): Promise<void>;
  /** The service ends: like down, but clients are cut and nothing is refused. */
  close(ending?: Ending): Promise<void>;
  /** Heartbeats of its data-plane thread; for the watchdog. */
  heartbeat(): bigint;
}

export type DeviceChange =
  | { readonly type: 'changed' }
  | { readonly type: 'splitBrain'; readonly peer: NodeName; readonly message: string }
  /** A split brain that ends with the changes of one side. */
  | { readonly type: 'settled'; readonly peer: NodeName; readonly message: string }
  | { readonly type: 'failed'; readonly error: MirrorError };
