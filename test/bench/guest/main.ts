// The command line of `npm run bench:vm`; called by scripts/bench-vm.mjs. One guest, booted for it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { repository } from '../../support/systemProcess';
import { Guest } from '../../vm/support/guest';
import { bootedState, filesDisk } from '../../vm/support/prepare';
import type { Finding } from '../findings';
import { FIO_WORDS, jobsIn, outcomeOf, workWords } from '../fio';
import type { Sample } from '../fio';
import { checkInterruption, failureText, heedInterruption } from '../interruption';
import { chosen, commandLine, machineLine, positive, progress, say } from '../machine';
import { keep } from '../outcome';
import { writeReport } from '../report';
import { ratio } from '../summary';
import { cellLines, findingLines, noiseLine, settingsLines } from '../table';
import { hold } from '../tournament';
import type { CellResult } from '../tournament';
import { GUEST_CELLS } from './cells';
import type { GuestCell } from './cells';
import { GUEST_CONTENDERS, prepareGuest } from './contenders';
import type { GuestContender } from './contenders';

const USAGE = `usage: npm run bench:vm -- [--rounds N] [--seconds S] [--cells KEY,...]
  [--output FOLDER] [--report FILE.md]
cells: ${GUEST_CELLS.map(({ key }) => key).join(', ')}
`;
const MEMORY_MIB = 2048;
const MIB = 1024 * 1024;
const SPARE_MS = 120_000;
/** What a measurement that ends with its last write may last, in those that end with time. */
const MOST_TIMES = 4;
/** The first touch of wide writes lasts the above times this at most; it is not measured. */
const TOUCH_SECONDS = 10;

interface Wanted {
  readonly rounds: number;
  readonly seconds: number;
  readonly cells: readonly string[];
  readonly output: string;
  readonly report: string | undefined;
  readonly command: string;
}

/** The folder of the image, and the one with what the guest sees as files. */
export interface Prepared {
  readonly folder: string;
  readonly content: string;
}

/** Answers the exit status: 2 for a wrong command line, 1 when something could not be measured. */
export async function main(
  args: readonly string[],
  prepare: (say: (line: string) => void) => Prepared,
): Promise<number> {
  const wanted = readArguments(args);
  if (wanted === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  heedInterruption();
  try {
    await withGuest(prepare(say), (guest, accelerator) => bench(guest, accelerator, wanted));
    return 0;
  } catch (error) {
    process.stderr.write(`${failureText(error)}\n`);
    return 1;
  }
}

async function withGuest(
  { folder, content }: Prepared,
  run: (guest: Guest, accelerator: string) => Promise<void>,
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'blkmirror-bench-vm-'));
  try {
    const { image, booted } = await bootedState(folder, await filesDisk(scratch, content));
    const names = { name: 'guest', other: 'nobody' };
    const machine = { image, folder: scratch, base: booted, memoryMib: MEMORY_MIB };
    const guest = await Guest.create({ ...names, ...machine });
    try {
      await guest.start();
      await run(guest, image.accelerator);
    } finally {
      await guest.powerOff();
    }
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function bench(guest: Guest, accelerator: string, wanted: Wanted): Promise<void> {
  progress('what is compared is installed in the guest');
  await prepareGuest(guest);
  for (const contender of GUEST_CONTENDERS) {
    progress(`${contender.name} starts`);
    await contender.start(guest);
  }
  const machine = `${machineLine()}, guest by ${accelerator}: ${await versionsIn(guest)}`;
  say(machine);
  const results: CellResult[] = [];
  for (const backing of ['memory', 'slow flush'] as const) {
    const found = await contest(guest, backing, wanted);
    found.flatMap(cellLines).forEach(say);
    results.push(...found);
  }
  const findings = results.flatMap(findingOf);
  const contenders = GUEST_CONTENDERS.map(({ name, settings }) => ({ name, settings }));
  const noise = noiseLine(results);
  ['', noise, '', 'contenders', ...settingsLines(contenders)].forEach(say);
  ['', 'targets', ...findingLines(findings)].forEach(say);
  const { rounds, seconds, command, output, report } = wanted;
  const outcome = { machine, command, rounds, seconds, contenders, noise, results, findings };
  const written = [...keep(output, 'bench-vm', outcome)];
  if (report !== undefined) written.push(...writeReport(output, report));
  say(`\nwritten: ${written.join(', ')}`);
}

async function contest(
  guest: Guest,
  backing: GuestCell['backing'],
  wanted: Wanted,
): Promise<readonly CellResult[]> {
  const { rounds, seconds } = wanted;
  const contenders = GUEST_CONTENDERS.filter(({ devices }) => devices[backing] !== undefined);
  const isWanted = (cell: GuestCell): boolean => wanted.cells.includes(cell.key);
  const cells = GUEST_CELLS.filter((cell) => cell.backing === backing && isWanted(cell));
  if (cells.length === 0) return [];
  for (const contender of contenders) {
    await fill(guest, contender, backing);
    for (const cell of cells) {
      if (cell.writes !== undefined) await measure(guest, contender, cell, TOUCH_SECONDS);
    }
  }
  return hold<GuestContender>({
    ...{ place: backing, contenders, absent: [], cells, rounds },
    measure: (contender, { key }) => measure(guest, contender, cellOf(key), seconds),
    onProgress: (what, done, all) => progress(`${done + 1}/${all} ${what}`),
  });
}

function cellOf(key: string): GuestCell {
  const found = GUEST_CELLS.find((cell) => cell.key === key);
  if (found === undefined) throw new Error(`there is no cell ${key}`);
  return found;
}

async function measure(
  guest: Guest,
  contender: GuestContender,
  cell: GuestCell,
  seconds: number,
): Promise<Sample> {
  checkInterruption();
  const sizeBytes = cell.sizeMib * MIB;
  const limited =
    cell.writes === undefined
      ? { fioWords: cell.fioWords, sizeBytes, seconds }
      : { fioWords: [...cell.fioWords, ...untilWritten(cell.writes, seconds)], sizeBytes };
  const words = [...workWords(limited), '--name=bench', ...deviceWords(contender, cell.backing)];
  const deadlineMs = seconds * MOST_TIMES * 1000 + SPARE_MS;
  const text = await guest.runOk(['fio', ...FIO_WORDS, ...words].join(' '), { deadlineMs });
  return { ...outcomeOf(jobsIn(text)), cpuUsPerOp: 0, othersPercent: 0 };
}

/** Who is slow at it is stopped early. */
function untilWritten(writes: number, seconds: number): readonly string[] {
  return [`--number_ios=${writes}`, `--runtime=${seconds * MOST_TIMES}`];
}

/** So that no write of the measurement is the first one of its block, where cells are narrow. */
async function fill(
  guest: Guest,
  contender: GuestContender,
  backing: GuestCell['backing'],
): Promise<void> {
  const size = Math.min(...GUEST_CELLS.map(({ sizeMib }) => sizeMib));
  const work = ['--name=fill', '--rw=write', '--bs=1M', '--iodepth=4', `--size=${size}M`];
  const words = ['fio', ...work, ...deviceWords(contender, backing)];
  await guest.runOk(words.join(' '), { deadlineMs: SPARE_MS });
}

function deviceWords({ devices }: GuestContender, backing: GuestCell['backing']): string[] {
  return ['--ioengine=io_uring', '--direct=1', `--filename=${devices[backing] ?? ''}`];
}

function findingOf(result: CellResult): readonly Finding[] {
  const { target } = cellOf(result.cell.key);
  const measured = ratio(result, 'blkmirror', 'DRBD');
  if (target === undefined) return [];
  const title = `${result.cell.title}, ${result.place}`;
  return [{ title, measured, target, sense: 'at least', unit: 'x DRBD', detail: '' }];
}

function versionsIn(guest: Guest): Promise<string> {
  return guest.runOk('echo "Linux $(uname -r), DRBD $(cat /sys/module/drbd/version), $(fio -v)"');
}

function readArguments(args: readonly string[]): Wanted | undefined {
  const text = { type: 'string' } as const;
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { rounds: text, seconds: text, cells: text, output: text, report: text },
    });
    const cells = GUEST_CELLS.map(({ key }) => key);
    return {
      cells: chosen(values.cells, cells, cells),
      rounds: positive(values.rounds, 5),
      seconds: positive(values.seconds, 2),
      output: values.output ?? join(repository, 'bench-results'),
      report: values.report,
      command: commandLine('bench:vm', args),
    };
  } catch (error) {
    process.stderr.write(`bench:vm: ${error instanceof Error ? error.message : 'wrong usage'}\n`);
    return undefined;
  }
}
