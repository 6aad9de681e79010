// The command line of `npm run bench`; called by scripts/bench.mjs.

import { mkdirSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { repository } from '../support/systemProcess';
import { CELLS } from './cells';
import { chart } from './chart';
import type { Finding } from './findings';
import { CONTENDERS, openPlace } from './place';
import type { PlaceName } from './place';
import { summaryOf } from './summary';
import { cellLines, findingLines, noiseLine, settingsLines } from './table';
import { targetFindings } from './targets';
import { hold } from './tournament';
import type { CellResult } from './tournament';
import { TRIALS } from './trials';

const USAGE = `usage: npm run bench -- [--quick] [--rounds N] [--seconds S]
  [--places tmpfs,disk] [--cells KEY,...] [--contenders NAME,...] [--trials KEY,... | none]
  [--output FOLDER]
cells: ${CELLS.map(({ key }) => key).join(', ')}
contenders: ${CONTENDERS.join(', ')}
trials: ${TRIALS.map(({ key }) => key).join(', ')}
`;

interface Wanted {
  readonly rounds: number;
  readonly seconds: number;
  readonly sizeBytes: number;
  readonly places: readonly PlaceName[];
  readonly cells: readonly string[];
  readonly contenders: readonly string[];
  readonly trials: readonly string[];
  readonly output: string;
}

export interface Peers {
  /** qemu-storage-daemon 10, or why it is not there. */
  readonly qemu: string | undefined;
  readonly versions: readonly string[];
}

const MIB = 1024 * 1024;
const PLACES: readonly PlaceName[] = ['tmpfs', 'disk'];
const QUICK_CONTENDERS = ['blkmirror', 'qemu quorum', 'nbdkit null', 'raw file'] as const;

/** Answers the exit status: 2 for a wrong command line, 1 when something could not be measured. */
export async function main(args: readonly string[], peers: () => Peers): Promise<number> {
  const wanted = readArguments(args);
  if (wanted === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  try {
    await bench(wanted, peers());
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : 'failed'}\n`);
    return 1;
  }
}

async function bench(wanted: Wanted, peers: Peers): Promise<void> {
  const machine = machineLine(peers);
  say(machine);
  const results: CellResult[] = [];
  const settings = new Set<string>();
  for (const name of wanted.places) {
    const { sizeBytes, contenders } = wanted;
    progress(`${name}: the contenders start, and their files are filled`);
    const place = await openPlace({ name, sizeBytes, contenders, qemu: peers.qemu });
    try {
      settingsLines([place]).forEach((line) => settings.add(line));
      const onProgress = (what: string, done: number, all: number): void =>
        progress(`${done + 1}/${all} ${what}`);
      const found = await hold(place, { ...wanted, onProgress });
      found.flatMap(cellLines).forEach(say);
      results.push(...found);
    } finally {
      await place.close();
    }
  }
  const findings = [...targetFindings(results)];
  for (const trial of TRIALS.filter(({ key }) => wanted.trials.includes(key))) {
    progress(trial.title);
    findings.push(...(await trial.run()));
  }
  say('');
  [noiseLine(results), '', 'contenders', ...settings].forEach(say);
  if (findings.length > 0) ['', 'targets', ...findingLines(findings)].forEach(say);
  keep(wanted.output, { machine, wanted, results, findings });
}

interface Outcome {
  readonly machine: string;
  readonly wanted: Wanted;
  readonly results: readonly CellResult[];
  readonly findings: readonly Finding[];
}

function keep(folder: string, { machine, wanted, results, findings }: Outcome): void {
  mkdirSync(folder, { recursive: true });
  const cells = results.map(({ place, cell, figures }) => ({
    place,
    cell: cell.key,
    figures: figures.map((one) => ({ ...one, median: summaryOf(cell, one) })),
  }));
  const json = { machine, rounds: wanted.rounds, seconds: wanted.seconds, cells, findings };
  writeFileSync(join(folder, 'bench.json'), `${JSON.stringify(json, null, 1)}\n`);
  if (results.length > 0) writeFileSync(join(folder, 'bench.svg'), chart(results));
  say('');
  say(`written: ${join(folder, 'bench.json')} and bench.svg`);
}

function machineLine({ versions }: Peers): string {
  const model = cpus()[0]?.model ?? 'unknown processor';
  return [`${cpus().length} x ${model}`, `Linux ${release()}`, ...versions].join(', ');
}

function readArguments(args: readonly string[]): Wanted | undefined {
  const text = { type: 'string' } as const;
  const options = {
    quick: { type: 'boolean', default: false },
    ...{ rounds: text, seconds: text, places: text, cells: text },
    ...{ contenders: text, trials: text, output: text },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const quick = values.quick;
    const cells = CELLS.filter((cell) => cell.quick || !quick).map(({ key }) => key);
    const trials = quick ? [] : TRIALS.map(({ key }) => key);
    return {
      rounds: positive(values.rounds, quick ? 2 : 5),
      seconds: positive(values.seconds, quick ? 1 : 4),
      sizeBytes: (quick ? 256 : 1024) * MIB,
      places: chosen(values.places, PLACES, quick ? ['tmpfs'] : PLACES),
      cells: chosen(
        values.cells,
        CELLS.map(({ key }) => key),
        cells,
      ),
      contenders: chosen(values.contenders, CONTENDERS, quick ? QUICK_CONTENDERS : CONTENDERS),
      trials: chosen(
        values.trials,
        TRIALS.map(({ key }) => key),
        trials,
      ),
      output: values.output ?? join(repository, 'bench-results'),
    };
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : 'wrong usage'}\n`);
    return undefined;
  }
}

function positive(text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (Number.isInteger(value) && value > 0) return value;
  throw new Error(`"${text ?? ''}" is not a number above 0`);
}

function chosen<T extends string>(
  text: string | undefined,
  known: readonly T[],
  otherwise: readonly T[],
): readonly T[] {
  if (text === undefined) return otherwise;
  if (text === 'none') return [];
  return text.split(',').map((word) => {
    const found = known.find((one) => one === word.trim());
    if (found === undefined) throw new Error(`there is no ${word}; there are ${known.join(', ')}`);
    return found;
  });
}

function say(line: string): void {
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  process.stdout.write(`${line}\n`);
}

/** One line that the next one replaces; nothing where nobody watches. */
function progress(line: string): void {
  if (process.stdout.isTTY) process.stdout.write(`\r\x1b[K${line.slice(0, 100)}`);
}
