// The report: docs/benchmarks.md, or wherever it is asked for, with charts beside it, from what the
// last runs of both benchmarks left in the output folder.

import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isReached } from './findings';
import type { Finding } from './findings';
import { tryRead } from './outcome';
import type { Benchmark, Outcome } from './outcome';
import { ratio, summaryOf } from './summary';
import { short, whole } from './table';
import type { CellResult } from './tournament';

/** What the figures mean, and what they depend on. */
const OPENING = join(__dirname, 'opening.md');

const PARTS: Readonly<Record<Benchmark, string>> = {
  bench: 'On one host: blkmirror and its peers in user space',
  'bench-vm': 'In one guest: the kernel device and kernel DRBD',
};

/** Answers the names of the files it wrote. */
export function writeReport(folder: string, file: string): readonly string[] {
  mkdirSync(dirname(file), { recursive: true });
  const written = [file];
  const parts = (Object.keys(PARTS) as Benchmark[]).flatMap((name) => {
    const outcome = tryRead(folder, name);
    if (outcome === undefined) return [];
    const drawing = copyChart(join(folder, `${name}.svg`), file, name);
    if (drawing !== undefined) written.push(drawing);
    return [part(PARTS[name], outcome, drawing)];
  });
  writeFileSync(file, [readFileSync(OPENING, 'utf8'), ...parts].join('\n'));
  return written;
}

/** Beside the report, named after both. */
function copyChart(drawing: string, file: string, name: Benchmark): string | undefined {
  if (!existsSync(drawing)) return undefined;
  const copy = `${file.replace(/\.md$/, '')}-${name}.svg`;
  copyFileSync(drawing, copy);
  return copy;
}

function part(title: string, outcome: Outcome, drawing: string | undefined): string {
  const { machine, command, rounds, seconds, contenders, noise, results, findings } = outcome;
  const picture = drawing === undefined ? [] : ['', `![${title}](${basename(drawing)})`];
  return [
    `## ${title}`,
    '',
    `${machine}. \`${command}\`: ${rounds} rounds, ${seconds} s a measurement. ${sentence(noise)}`,
    '',
    table(
      ['contender', 'settings'],
      contenders.map(({ name, settings }) => [name, settings]),
    ),
    ...['', '### Targets', '', targets(findings)],
    ...picture,
    ...results.flatMap((result) => ['', heading(result), '', figures(result)]),
    '',
  ].join('\n');
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function heading({ cell, place }: CellResult): string {
  return `### ${cell.title}, ${place}`;
}

function targets(findings: readonly Finding[]): string {
  const rows = findings.map((finding) => {
    const measured = finding.measured === undefined ? '-' : short(finding.measured);
    return [
      isReached(finding) ? 'reached' : '**missed**',
      finding.title,
      `${measured} ${finding.unit}`,
      `${finding.sense} ${short(finding.target)}`,
      finding.detail,
    ];
  });
  return table(['', 'what', 'measured', 'target', ''], rows);
}

function figures(result: CellResult): string {
  const rows = result.figures.map((one) => {
    const summary = summaryOf(result.cell, one);
    const times = one.contender === 'blkmirror' ? undefined : ratioTo(result, one.contender);
    return [
      one.contender,
      whole(summary.iops),
      whole(summary.mibPerSecond),
      [summary.p50Us, summary.p99Us, summary.p999Us].map(whole).join(' / '),
      summary.cpuUsPerOp === 0 ? '-' : summary.cpuUsPerOp.toFixed(1),
      `${summary.spreadPercent.toFixed(0)} %`,
      times ?? '',
    ];
  });
  const heads = [
    '',
    'IOPS',
    'MiB/s',
    'p50 / p99 / p99.9 us',
    'cpu us/op',
    'spread',
    'blkmirror is',
  ];
  const missing = result.absent.map(({ name, settings }) => [name, settings]);
  return table(heads, [...rows, ...missing]);
}

function ratioTo(result: CellResult, contender: string): string | undefined {
  const value = ratio(result, 'blkmirror', contender);
  return value === undefined ? undefined : `${value.toFixed(2)} x`;
}

function table(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (columns: readonly string[]): string => `| ${columns.join(' | ')} |`;
  return [line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n');
}
