// The results for the terminal: a block of lines for each cell, then the verdict.

import type { Named } from './contender';
import { isReached } from './findings';
import type { Finding } from './findings';
import { ratio, summaryOf } from './summary';
import type { CellResult } from './tournament';

const NAME_WIDTH = 14;
const HEADS = ['IOPS', 'MiB/s', 'p50 us', 'p99 us', 'p99.9 us', 'cpu us/op', 'spread', 'we are'];

export function cellLines(result: CellResult): readonly string[] {
  const { cell, place, figures, absent } = result;
  const lines = figures.map((one) => {
    const summary = summaryOf(cell, one);
    const numbers = [
      whole(summary.iops),
      whole(summary.mibPerSecond),
      whole(summary.p50Us),
      whole(summary.p99Us),
      whole(summary.p999Us),
      summary.cpuUsPerOp === 0 ? '-' : summary.cpuUsPerOp.toFixed(1),
      `${summary.spreadPercent.toFixed(0)} %`,
      times(ratio(result, 'blkmirror', one.contender), one.contender),
    ];
    return row(one.contender, numbers);
  });
  const missing = settingsLines(absent);
  return ['', `${cell.title}, ${place}`, row('', HEADS), ...lines, ...missing];
}

function row(name: string, columns: readonly string[]): string {
  return `  ${name.padEnd(NAME_WIDTH)}${columns.map((each) => each.padStart(11)).join('')}`;
}

export function findingLines(findings: readonly Finding[]): readonly string[] {
  return findings.map((finding) => {
    const mark = isReached(finding) ? 'reached' : 'missed ';
    const measured = finding.measured === undefined ? '-' : short(finding.measured);
    const wanted = `${finding.sense} ${short(finding.target)}`;
    const detail = finding.detail === '' ? '' : `; ${finding.detail}`;
    return `  ${mark}  ${finding.title}: ${measured} ${finding.unit} (${wanted}${detail})`;
  });
}

/** Who took part with which settings. */
export function settingsLines(contenders: readonly Named[]): readonly string[] {
  return contenders.map(({ name, settings }) => `  ${name.padEnd(NAME_WIDTH)}${settings}`);
}

/** How far the figures can be trusted. */
export function noiseLine(results: readonly CellResult[]): string {
  const all = results.flatMap(({ cell, figures }) => figures.map((one) => summaryOf(cell, one)));
  const spread = Math.max(0, ...all.map((one) => one.spreadPercent));
  const others = all.reduce((sum, one) => sum + one.othersPercent, 0) / Math.max(1, all.length);
  return (
    `noise: rounds differ by up to ${spread.toFixed(0)} % of their median; ` +
    `others took ${others.toFixed(0)} % of one core`
  );
}

function times(value: number | undefined, contender: string): string {
  return value === undefined || contender === 'blkmirror' ? '' : `${value.toFixed(2)} x`;
}

export function whole(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

export function short(value: number): string {
  return value >= 100 ? whole(value) : value.toFixed(2);
}
