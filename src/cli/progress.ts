/**
 * The progress of a resync while one looks at it: a bar that is drawn over itself on a
 * terminal, a plain line every few seconds elsewhere.
 */
import { BAR_WIDTH, PROGRESS_LINE_MS } from './limits';
import type { Output } from './output';
import { formatBar, formatDuration, formatPercent, formatRate } from './units';

export interface Progress {
  /** 0 to 1. */
  readonly fraction: number;
  /** 0: unknown. */
  readonly bytesPerSecond: number;
  /** undefined: unknown. */
  readonly secondsLeft: number | undefined;
}

export class ProgressDisplay {
  private lastLineMs = -Infinity;
  private lastLine = '';
  private drawn = false;

  constructor(
    private readonly output: Output,
    /** What is in progress: `resync of r0`. */
    private readonly label: string,
    private readonly nowMs: () => number,
  ) {}

  show(progress: Progress): void {
    if (this.output.isTerminal) {
      const bar = formatBar(progress.fraction, BAR_WIDTH);
      const text = `${this.label}  ${bar}  ${progressText(progress)}`;
      this.output.write(`\r\x1b[2K${this.output.paint('busy', text)}`);
      this.drawn = true;
      return;
    }
    const now = this.nowMs();
    const line = `${this.label}: ${progressText(progress)}`;
    if (now - this.lastLineMs < PROGRESS_LINE_MS || line === this.lastLine) return;
    this.lastLineMs = now;
    this.lastLine = line;
    this.output.print(line);
  }

  /** Leaves the last state on the screen. */
  end(): void {
    if (this.drawn) this.output.write('\n');
    this.drawn = false;
  }
}

function progressText(progress: Progress): string {
  const parts = [formatPercent(progress.fraction * 100)];
  if (progress.bytesPerSecond > 0) parts.push(formatRate(progress.bytesPerSecond));
  if (progress.secondsLeft !== undefined) {
    parts.push(`${formatDuration(progress.secondsLeft)} left`);
  }
  return parts.join('  ');
}
