// What the samples of a contender come to: medians, and how far the rounds lie apart.

import type { Cell } from './cells';
import type { Sample } from './fio';
import type { CellResult, Figures } from './tournament';

export interface Summary extends Sample {
  /** The cell's own figure: IOPS or MiB/s. */
  readonly figure: number;
  /** The largest and smallest round's distance, in percent of the median. */
  readonly spreadPercent: number;
}

export function summaryOf(cell: Cell, { samples }: Figures): Summary {
  const of = (field: keyof Sample): number => median(samples.map((sample) => sample[field]));
  const field = cell.unit === 'IOPS' ? 'iops' : 'mibPerSecond';
  const all = samples.map((sample) => sample[field]);
  const figure = median(all);
  return {
    iops: of('iops'),
    mibPerSecond: of('mibPerSecond'),
    p50Us: of('p50Us'),
    p99Us: of('p99Us'),
    p999Us: of('p999Us'),
    cpuUsPerOp: of('cpuUsPerOp'),
    othersPercent: of('othersPercent'),
    figure,
    spreadPercent: ((Math.max(...all) - Math.min(...all)) / figure) * 100,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/** Undefined where one of the two was not measured. Of medians, since rounds vary. */
export function ratio(result: CellResult, contender: string, to: string): number | undefined {
  const figure = (name: string): number | undefined => {
    const found = result.figures.find((figures) => figures.contender === name);
    return found === undefined ? undefined : summaryOf(result.cell, found).figure;
  };
  const [above, below] = [figure(contender), figure(to)];
  return above === undefined || below === undefined ? undefined : above / below;
}
