// npm run sim:mutants: shows that the simulator finds bugs. Each mutant of test/sim/mutants.json
// breaks one safety rule; a seed must catch it within 1,000 (--limit N), one that the same seed
// does not fail without, or else the test that is named with it; those of `elsewhere`, which the
// seeds cannot meet, by their test alone. `-- NAME ...` runs only those; --jobs J (all cores);
// --tests: only the tests, where there is one.
// What was found is kept until a source changes: an interrupted run goes on where it stopped, and
// --again begins anew. Ends with a table, and with 1 when a mutant was not caught, its text is
// stale, or no mutant breaks some rule; with 130 when it was interrupted.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { hunt, Memory } from './lib/hunting.mjs';
import { editedText, readMutants } from './lib/mutating.mjs';
import { catchByTest } from './lib/shadowing.mjs';
import { run } from './lib/tools.mjs';

const RULES = Array.from({ length: 13 }, (_, index) => index + 1);
const SHOWN_CHARACTERS = 110;

function say(text) {
  process.stdout.write(`${text}\n`);
}

function parse() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      limit: { type: 'string', default: '1000' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      again: { type: 'boolean', default: false },
      tests: { type: 'boolean', default: false },
    },
  });
  const [limit, jobs] = [Number(values.limit), Number(values.jobs)];
  return { limit, jobs, again: values.again, tests: values.tests, names: positionals };
}

/** {mutant, tried, how, what}; `how` is undefined when it was not caught. */
async function judge(mutant, options) {
  const { signal, tests } = options;
  if (mutant.elsewhere || (tests && mutant.test !== undefined)) return judgeByTest(mutant, options);
  const { seeds, caught } = await hunt(mutant, options);
  const tried = `${seeds} seeds`;
  if (caught !== undefined) {
    return { mutant, tried, how: `seed ${caught.seed}`, what: caught.failure };
  }
  if (mutant.test === undefined || signal.aborted) return { mutant, tried, what: 'NOT CAUGHT' };
  return judgeByTest(mutant, options, `${tried}, `);
}

async function judgeByTest(mutant, { memory, signal }, before = '') {
  const { file, name } = mutant.test;
  const known = memory.recall(mutant) ?? {};
  const failure = known.failure ?? (await runNamedTest(mutant, signal));
  if (failure !== undefined) memory.keep(mutant, { ...known, failure });
  const tried = `${before}a test`;
  if (failure === undefined) return { mutant, tried, what: `NOT CAUGHT by ${file}: ${name}` };
  return { mutant, tried, how: `${file}: ${name}`, what: failure };
}

/** undefined also when it was interrupted. */
async function runNamedTest(mutant, signal) {
  try {
    return await catchByTest(mutant, signal);
  } catch (error) {
    if (signal.aborted) return undefined;
    throw error;
  }
}

function shortened(text) {
  const [line] = text.split('\n');
  return line.length > SHOWN_CHARACTERS ? `${line.slice(0, SHOWN_CHARACTERS)}…` : line;
}

function sayTable(results) {
  const rows = results.map(({ mutant: { rule, name }, tried, how }) => [
    String(rule),
    name,
    tried,
    how ?? 'NOT CAUGHT',
  ]);
  rows.unshift(['rule', 'mutant', 'tried', 'caught by']);
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  say('');
  for (const row of rows) {
    say(
      row
        .map((cell, column) => cell.padEnd(widths[column]))
        .join('  ')
        .trimEnd(),
    );
  }
}

function sayUnbroken(mutants) {
  const broken = new Set(mutants.map(({ rule }) => rule));
  const whole = RULES.filter((rule) => !broken.has(rule));
  if (whole.length > 0) say(`no mutant breaks rule ${whole.join(', ')}`);
  return whole.length;
}

function pick(all, names) {
  const unknown = names.filter((name) => !all.some((mutant) => mutant.name === name));
  if (unknown.length > 0) throw new Error(`there is no mutant ${unknown.join(', ')}`);
  return all.filter(({ name }) => names.length === 0 || names.includes(name));
}

async function main() {
  const { limit, jobs, again, tests, names } = parse();
  const all = readMutants();
  const picked = pick(all, names);
  // Stale ones are told before anything is run.
  for (const mutant of all) editedText(mutant);
  if (run(process.execPath, ['scripts/build.mjs', 'sim']) !== 0) return 1;
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => abort.abort());
  const options = { limit, jobs, tests, memory: new Memory(again), signal: abort.signal };
  const results = [];
  for (const mutant of picked) {
    const result = await judge(mutant, options);
    if (abort.signal.aborted) break;
    results.push(result);
    const { tried, how, what } = result;
    const end = how === undefined ? what : `${how}: ${shortened(what)}`;
    say(`rule ${mutant.rule}: ${mutant.name} (${mutant.breaks}): ${tried}: ${end}`);
  }
  sayTable(results);
  const missed = results.filter(({ how }) => how === undefined).length;
  const problems = missed + sayUnbroken(all);
  const caught = results.length - missed;
  if (abort.signal.aborted) say(`interrupted: ${picked.length - results.length} are left`);
  say(`${caught} of ${picked.length} mutants caught`);
  if (abort.signal.aborted) return 130;
  return problems === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`sim:mutants: ${error.message}\n`);
  process.exitCode = 2;
}
