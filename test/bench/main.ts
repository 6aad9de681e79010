// The command line of `npm run bench`; called by scripts/bench.mjs.

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { repository } from '../support/systemProcess';
import { CELLS } from './cells';
import type { Named } from './contender';
import { measure } from './fio';
import { checkInterruption, failureText, heedInterruption } from './interruption';
import { chosen, commandLine, machineLine, positive, progress, say } from './machine';
import { keep } from './outcome';
import { CONTENDERS, openPlace } from './place';
import type { Place, PlaceName } from './place';
import { writeReport } from './report';
import { cellLines, findingLines, noiseLine, settingsLines } from './table';
import { targetFindings } from './targets';
import { hold } from './tournament';
import type { CellResult } from './tournament';
import { TRIALS } from './trials';

const USAGE = `usage: npm run bench -- [--quick] [--rounds N] [--seconds S]
  [--places tmpfs,disk] [--cells KEY,...] [--contenders NAME,...] [--trials KEY,... | none]
  [--output FOLDER] [--report FILE.md]
cells: ${CELLS.map(({ key }) => key).join(', ')}
contenders: ${CONTENDERS.join(', ')}
trials: ${TRIALS.map(({ key }) => key).join(', ')}
`;

interface Wanted {
  readonly command: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly sizeBytes: number;
  readonly places: readonly PlaceName[];
  readonly cells: readonly string[];
  readonly contenders: readonly string[];
  readonly trials: readonly string[];
  readonly output: string;
  readonly report: string | undefined;
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
  heedInterruption();
  try {
    await bench(wanted, peers());
    return 0;
  } catch (error) {
    process.stderr.write(`${failureText(error)}\n`);
    return 1;
  }
}

async function bench(wanted: Wanted, peers: Peers): Promise<void> {
  const machine = machineLine(peers.versions);
  say(machine);
  const results: CellResult[] = [];
  const settings = new Map<string, Named>();
  for (const name of wanted.places) {
    const { sizeBytes, contenders } = wanted;
    progress(`${name}: the contenders start, and their files are filled`);
    const place = await openPlace({ name, sizeBytes, contenders, qemu: peers.qemu });
    try {
      for (const { name, settings: how } of [...place.contenders, ...place.absent])
        settings.set(name, { name, settings: how });
      const found = await contest(place, wanted);
      found.flatMap(cellLines).forEach(say);
      results.push(...found);
    } finally {
      await place.close();
    }
  }
  const findings = [...targetFindings(results)];
  for (const trial of TRIALS.filter(({ key }) => wanted.trials.includes(key))) {
    checkInterruption();
    progress(trial.title);
    findings.push(...(await trial.run()));
  }
  const contenders = [...settings.values()];
  const noise = noiseLine(results);
  ['', noise, '', 'contenders', ...settingsLines(contenders)].forEach(say);
  if (findings.length > 0) ['', 'targets', ...findingLines(findings)].forEach(say);
  const { rounds, seconds, command, output, report } = wanted;
  const outcome = { machine, command, rounds, seconds, contenders, noise, results, findings };
  const written = [...keep(output, 'bench', outcome)];
  if (report !== undefined) written.push(...writeReport(output, report));
  say(`\nwritten: ${written.join(', ')}`);
}

function contest(place: Place, wanted: Wanted): Promise<readonly CellResult[]> {
  const { sizeBytes, contenders, absent } = place;
  const { rounds, seconds } = wanted;
  return hold({
    ...{ place: place.name, contenders, absent, rounds },
    cells: CELLS.filter(({ key }) => wanted.cells.includes(key)),
    measure: (contender, { fioWords }) => measure(contender, { fioWords, sizeBytes, seconds }),
    onProgress: (what, done, all) => progress(`${done + 1}/${all} ${what}`),
  });
}

function readArguments(args: readonly string[]): Wanted | undefined {
  const text = { type: 'string' } as const;
  const options = {
    quick: { type: 'boolean', default: false },
    ...{ rounds: text, seconds: text, places: text, cells: text },
    ...{ contenders: text, trials: text, output: text, report: text },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options });
    const quick = values.quick;
    const cells = CELLS.filter((cell) => cell.quick || !quick).map(({ key }) => key);
    const trials = quick ? [] : TRIALS.map(({ key }) => key);
    return {
      command: commandLine('bench', args),
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
      report: values.report,
    };
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : 'wrong usage'}\n`);
    return undefined;
  }
}
