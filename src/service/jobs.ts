/**
 * Jobs: resyncs that were asked for, while they run and for a minute after their end.
 *
 * A second Resync of the same resource and peer joins the job that runs. Automatic resyncs are
 * no jobs; they show in the peer's status.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import type { NodeName, ResourceName } from '../model/states';
import type { DeviceStatus, JobState, JobStatus } from '../model/status';
import type { ResyncRun } from '../resource/device';
import type { ChangeHub } from './changeHub';
import { JOB_KEEP_MS, MAX_JOBS, PROGRESS_TICK_MS } from './limits';

interface Job {
  readonly id: number;
  readonly resource: ResourceName;
  readonly run: ResyncRun;
  readonly deviceStatus: () => DeviceStatus;
  state: JobState;
  message: string;
  cancelled: boolean;
  /** Progress as last looked at, and for good once it has ended. */
  fraction: number;
  removal: NodeJS.Timeout | undefined;
}

export class JobRegistry {
  private readonly jobs = new Map<number, Job>();
  private nextId = 1;
  private ticker: NodeJS.Timeout | undefined;

  constructor(private readonly changes: ChangeHub) {}

  /** Follows the run; its id, or that of the job that follows the same resync already. */
  follow(resource: ResourceName, run: ResyncRun, deviceStatus: () => DeviceStatus): number {
    const same = [...this.jobs.values()].find(
      (job) => job.state === 'running' && job.resource === resource && job.run.peer === run.peer,
    );
    if (same !== undefined) {
      // One of the two is told how it ended; nobody else waits for the other.
      run.finished.catch(() => undefined);
      return same.id;
    }
    this.makeRoom();
    const id = this.nextId++;
    const fresh = { state: 'running', message: '', cancelled: false, fraction: 0 } as const;
    const job: Job = { id, resource, run, deviceStatus, ...fresh, removal: undefined };
    this.jobs.set(id, job);
    run.finished.then(
      () => this.end(job, 'done', ''),
      (error: unknown) => this.endFailed(job, error),
    );
    this.changes.jobChanged(id);
    this.keepTicking();
    return id;
  }

  tryStatus(id: number): JobStatus | undefined {
    const job = this.jobs.get(id);
    if (job === undefined) return undefined;
    const running = job.state === 'running' ? job.run.progress() : undefined;
    if (running !== undefined) job.fraction = clampFraction(running.fraction);
    const bytesPerSecond = running?.bytesPerSecond ?? 0;
    return {
      id,
      operation: 'resync',
      resource: job.resource,
      state: job.state,
      progress: job.fraction,
      bytesPerSecond,
      expectedEndMs: expectedEnd(job, bytesPerSecond),
      message: job.message,
    };
  }

  ids(): readonly number[] {
    return [...this.jobs.keys()];
  }

  /** Succeeds when the job has already ended. @throws NotFound */
  cancel(id: number): void {
    const job = this.jobs.get(id);
    if (job === undefined) throw new MirrorError('NotFound', `there is no job ${id} any more`);
    if (job.state !== 'running') return;
    job.cancelled = true;
    job.run.cancel();
  }

  /** Stops every timer; jobs that run are not told of any more. */
  close(): void {
    clearInterval(this.ticker);
    for (const job of this.jobs.values()) clearTimeout(job.removal);
    this.jobs.clear();
  }

  private endFailed(job: Job, error: unknown): void {
    const { message } = toMirrorError(error);
    this.end(job, job.cancelled ? 'cancelled' : 'failed', job.cancelled ? 'cancelled' : message);
  }

  private end(job: Job, state: JobState, message: string): void {
    job.fraction = state === 'done' ? 1 : job.fraction;
    job.state = state;
    job.message = message;
    job.removal = setTimeout(() => this.remove(job), JOB_KEEP_MS);
    job.removal.unref();
    this.changes.jobChanged(job.id);
  }

  private remove(job: Job): void {
    clearTimeout(job.removal);
    this.jobs.delete(job.id);
    this.changes.jobChanged(job.id);
  }

  private makeRoom(): void {
    if (this.jobs.size < MAX_JOBS) return;
    const ended = [...this.jobs.values()].find((job) => job.state !== 'running');
    if (ended === undefined) {
      throw new MirrorError('InTransition', `${MAX_JOBS} jobs are running; wait for one to end`);
    }
    this.remove(ended);
  }

  private keepTicking(): void {
    this.ticker ??= setInterval(() => this.tick(), PROGRESS_TICK_MS);
    this.ticker.unref();
  }

  /** Tells of progress. */
  private tick(): void {
    const running = [...this.jobs.values()].filter((job) => job.state === 'running');
    for (const job of running) this.changes.jobChanged(job.id);
    if (running.length > 0) return;
    clearInterval(this.ticker);
    this.ticker = undefined;
  }
}

function clampFraction(fraction: number): number {
  return Number.isFinite(fraction) ? Math.min(1, Math.max(0, fraction)) : 0;
}

/** From what is still out of sync and how fast it shrinks; 0 when that says nothing. */
function expectedEnd(job: Job, bytesPerSecond: number): number {
  if (job.state !== 'running' || bytesPerSecond <= 0) return 0;
  const left = outOfSyncBytes(job.deviceStatus(), job.run.peer);
  if (left === undefined) return 0;
  return Date.now() + Math.round((left / bytesPerSecond) * 1000);
}

function outOfSyncBytes(status: DeviceStatus, peer: NodeName): number | undefined {
  return status.peers.find((each) => each.name === peer)?.outOfSyncBytes ?? undefined;
}
