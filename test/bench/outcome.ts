// What a run of a benchmark came to, kept as JSON beside its chart: `bench` and `bench-vm` leave
// one each in the output folder, from which the report is written.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { chart } from './chart';
import type { Named } from './contender';
import type { Finding } from './findings';
import { summaryOf } from './summary';
import type { CellResult } from './tournament';

export type Benchmark = 'bench' | 'bench-vm';

export interface Outcome {
  readonly machine: string;
  readonly command: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly contenders: readonly Named[];
  /** How far the figures can be trusted. */
  readonly noise: string;
  readonly results: readonly CellResult[];
  readonly findings: readonly Finding[];
}

/** Answers the names of the files it wrote. */
export function keep(folder: string, name: Benchmark, outcome: Outcome): readonly string[] {
  mkdirSync(folder, { recursive: true });
  const results = outcome.results.map((result) => ({
    ...result,
    figures: result.figures.map((one) => ({ ...one, median: summaryOf(result.cell, one) })),
  }));
  const json = join(folder, `${name}.json`);
  writeFileSync(json, `${JSON.stringify({ ...outcome, results }, null, 1)}\n`);
  if (results.length === 0) return [json];
  const drawing = join(folder, `${name}.svg`);
  writeFileSync(drawing, chart(outcome.results));
  return [json, drawing];
}

/** Of the last run; undefined where there was none. */
export function tryRead(folder: string, name: Benchmark): Outcome | undefined {
  const json = join(folder, `${name}.json`);
  if (!existsSync(json)) return undefined;
  return JSON.parse(readFileSync(json, 'utf8')) as Outcome;
}
