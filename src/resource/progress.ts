/**
 * How far the resync with one peer is, and how fast: a moving average over the last looks.
 */
import { PROGRESS_INTERVAL_MS, PROGRESS_SAMPLES } from '../model/limits';
import type { Timer } from '../model/clock';
import type { NodeName } from '../model/states';
import type { PeerStatistics } from '../plane/plane';
import { isResync } from '../rules/transitions';
import type { Core } from './core';

interface Sample {
  readonly atMs: number;
  readonly resyncedBytes: bigint;
}

export class Progress {
  private readonly samples: Sample[] = [];

  /** While a resync runs. Looks closer together than the interval count as one. */
  sample(atMs: number, resyncedBytes: bigint): void {
    const last = this.samples.at(-1);
    if (last !== undefined && atMs - last.atMs < PROGRESS_INTERVAL_MS / 2) return;
    this.samples.push({ atMs, resyncedBytes });
    if (this.samples.length > PROGRESS_SAMPLES) this.samples.shift();
  }

  clear(): void {
    this.samples.length = 0;
  }

  bytesPerSecond(): number {
    const first = this.samples[0];
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return 0;
    const bytes = Number(last.resyncedBytes - first.resyncedBytes);
    return Math.max(0, Math.round((bytes * 1000) / (last.atMs - first.atMs)));
  }
}

/** While a resync runs, looks at its progress regularly and reports that as a change. */
export class ProgressBoard {
  private readonly peers = new Map<NodeName, Progress>();
  private ticker: Timer | undefined;

  constructor(private readonly core: Core) {}

  of(peer: NodeName): Progress {
    const progress = this.peers.get(peer) ?? new Progress();
    this.peers.set(peer, progress);
    return progress;
  }

  /** Begins, when a resync runs and nobody looks yet; ends by itself. */
  keepTicking(): void {
    if (this.ticker !== undefined || this.core.closing || !this.sampleAll()) return;
    this.ticker = this.core.environment.clock.after(PROGRESS_INTERVAL_MS, () => {
      this.ticker = undefined;
      this.keepTicking();
      this.core.report({ type: 'changed' });
    });
  }

  close(): void {
    this.ticker?.cancel();
  }

  /** false: no resync runs. */
  private sampleAll(): boolean {
    const nowMs = this.core.environment.clock.nowMs();
    let any = false;
    for (const [peer, state] of this.core.gate.snapshot().peers) {
      if (!isResync(state.replicationState)) continue;
      any = true;
      const statistics = this.core.peerStatistics(peer);
      if (statistics !== undefined) this.of(peer).sample(nowMs, statistics.resyncedBytes);
    }
    return any;
  }
}

/** 0 to 1; undefined when nothing is known of the peer. */
export function doneFraction(statistics: PeerStatistics | undefined): number | undefined {
  if (statistics === undefined) return undefined;
  const { outOfSyncBytes, resyncTotalBytes } = statistics;
  if (outOfSyncBytes === 0n) return 1;
  if (resyncTotalBytes === 0n) return undefined;
  const left = Number(outOfSyncBytes) / Number(resyncTotalBytes);
  return Math.min(1, Math.max(0, 1 - left));
}
