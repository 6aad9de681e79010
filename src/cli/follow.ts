/**
 * Stays with a resync until its end: with a job (`resync --wait`), or with whatever resyncs a
 * device has (`up` on a terminal). Ctrl-C leaves the resync running.
 */
import { MirrorError } from '../model/errors';
import type { ResourceName } from '../model/states';
import type { DeviceStatus, JobStatus, PeerStatus } from '../model/status';
import { PROGRESS_INTERVAL_MS, SETTLE_MS } from './limits';
import type { Output } from './output';
import { ProgressDisplay } from './progress';
import type { Progress } from './progress';
import type { Service } from './service';
import { isResyncing } from './statusView';
import { Waiter } from './waiting';

export type FollowEnd = 'done' | 'interrupted';

/** @throws Failed (why the resync ended otherwise), NotConnected (the service ended) */
export async function followJob(
  service: Service,
  path: string,
  resource: ResourceName,
  output: Output,
): Promise<FollowEnd> {
  const waiter = new Waiter();
  const display = new ProgressDisplay(output, `resync of ${resource}`, Date.now);
  const forget = service.bus.onSignal((signal) => {
    if (signal.path === path && signal.member === 'Completed') waiter.wakeUp();
  });
  try {
    await service.subscribe();
    for (;;) {
      const job = await service.tryJob(path, resource);
      if (job === undefined) throw new MirrorError('NotFound', lostJob(resource));
      display.show(jobProgress(job));
      if (job.state === 'done') return 'done';
      if (job.state !== 'running') throw new MirrorError('Failed', endOf(job));
      await waiter.wait(PROGRESS_INTERVAL_MS);
      if (waiter.isInterrupted) return 'interrupted';
    }
  } finally {
    forget();
    waiter.close();
    display.end();
  }
}

/**
 * Shows the resyncs of a device that has just come up; returns when there is none, which may
 * be at once.
 */
export async function followDevice(
  service: Service,
  resource: ResourceName,
  output: Output,
): Promise<FollowEnd | 'none'> {
  const waiter = new Waiter();
  const display = new ProgressDisplay(output, `resync of ${resource}`, Date.now);
  const settledBy = Date.now() + SETTLE_MS;
  let seen = false;
  try {
    for (;;) {
      const device = await service.tryDevice(resource);
      const peer = device?.peers.find(isResyncing);
      if (device === undefined) return 'none';
      if (peer !== undefined) display.show(peerProgress(peer));
      else if (seen) return 'done';
      else if (isSettled(device) || Date.now() > settledBy) return 'none';
      seen ||= peer !== undefined;
      await waiter.wait(PROGRESS_INTERVAL_MS);
      if (waiter.isInterrupted) return seen ? 'interrupted' : 'none';
    }
  } finally {
    waiter.close();
    display.end();
  }
}

/** No peer is about to begin a resync. */
function isSettled(device: DeviceStatus): boolean {
  return device.peers.every(
    (peer) =>
      peer.connectionState === 'StandAlone' ||
      (peer.connectionState === 'Connected' && peer.replicationState === 'Established'),
  );
}

function jobProgress(job: JobStatus): Progress {
  const left = job.expectedEndMs > 0 ? (job.expectedEndMs - Date.now()) / 1000 : undefined;
  return {
    fraction: job.state === 'done' ? 1 : job.progress,
    bytesPerSecond: job.bytesPerSecond,
    secondsLeft: job.state === 'running' ? left : undefined,
  };
}

function peerProgress(peer: PeerStatus): Progress {
  const rate = peer.resyncBytesPerSecond;
  const secondsLeft =
    rate > 0 && peer.outOfSyncBytes !== null ? peer.outOfSyncBytes / rate : undefined;
  return { fraction: (peer.resyncDonePercent ?? 0) / 100, bytesPerSecond: rate, secondsLeft };
}

function endOf(job: JobStatus): string {
  if (job.state === 'cancelled') return `the resync of ${job.resource} was cancelled`;
  return `the resync of ${job.resource} failed: ${job.message}`;
}

function lostJob(resource: string): string {
  return `the resync of ${resource} is not known any more; see: blkmirror status ${resource}`;
}
