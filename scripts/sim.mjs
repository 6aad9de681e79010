// npm run sim: the simulator over many seeds. Options: --seeds N (1000), --from N (1), --jobs J
// (all cores), --seed N (only this one), --trace (with it: event by event), --nodes N (2 or 3,
// whatever a seed has; another run than the seed alone), --mutant NAME (of test/sim/mutants.json),
// --tally (adds the run to test/sim/tally.json; not with a changed tree; without --from it goes on
// where the last run ended).
// Ends with 1 when a seed failed, or when over 200 seeds and more a fault was never met; with 130
// when it was interrupted: what was done until then is told, and is in the tally.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { faultNames, mutantEnvironment } from './lib/mutating.mjs';
import { runSeeds } from './lib/simulating.mjs';
import { countClean, formatTally, nextSeed, talliedCommit, TallyEntry } from './lib/tally.mjs';
import { run } from './lib/tools.mjs';

const SEEDS_FOR_EVERY_FAULT = 200;
const SHOWN_FAILURES = 20;
const SAVED_EVERY_MS = 30_000;
// What each seed has at least; one that has less shows nothing.
const LEAST_OPERATIONS = 2000;
const LEAST_FAULTS = 20;

function parse() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '1000' },
      from: { type: 'string' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      seed: { type: 'string' },
      trace: { type: 'boolean', default: false },
      nodes: { type: 'string' },
      mutant: { type: 'string' },
      tally: { type: 'boolean', default: false },
    },
  });
  const only = values.seed === undefined ? undefined : natural('seed', values.seed);
  const first = values.tally ? nextSeed() : 1;
  const from = values.from === undefined ? first : natural('from', values.from);
  return {
    from: only ?? from,
    count: only === undefined ? natural('seeds', values.seeds) : 1,
    jobs: natural('jobs', values.jobs),
    trace: values.trace,
    nodes: values.nodes === undefined ? undefined : nodeCount(values.nodes),
    mutant: values.mutant,
    tally: values.tally,
  };
}

function natural(name, text) {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value > 0) return value;
  throw new Error(`--${name} is a whole number from 1, not ${text}`);
}

function nodeCount(text) {
  if (text === '2' || text === '3') return Number(text);
  throw new Error(`--nodes is 2 or 3, not ${text}`);
}

function refuseTally({ mutant, trace, nodes }) {
  if (mutant !== undefined || trace || nodes !== undefined)
    throw new Error('--tally counts plain runs only');
  talliedCommit();
}

class Totals {
  clean = 0;
  failures = [];
  operations = 0;
  busyMs = 0;
  virtualMs = 0;
  faults = {};
  hits = {};

  /** Answers what is wrong with it, if anything. */
  add(outcome) {
    const failure = outcome.failure ?? tooLittle(outcome);
    if (failure === undefined) this.clean += 1;
    else this.failures.push({ seed: outcome.seed, failure });
    this.operations += outcome.operations ?? 0;
    this.busyMs += outcome.ms ?? 0;
    this.virtualMs += outcome.virtualMs ?? 0;
    sum(this.faults, outcome.faults ?? {});
    sum(this.hits, outcome.hits ?? {});
    return failure;
  }

  /** Seeds, of one core's time. */
  get perSecond() {
    return this.busyMs === 0 ? 0 : (1000 * this.done) / this.busyMs;
  }

  get done() {
    return this.clean + this.failures.length;
  }
}

function tooLittle({ operations, faults }) {
  const made = Object.values(faults).reduce((total, count) => total + count, 0);
  if (operations >= LEAST_OPERATIONS && made >= LEAST_FAULTS) return undefined;
  return `the harness came only to ${operations} operations and ${made} faults`;
}

function sum(totals, counts) {
  for (const [name, count] of Object.entries(counts)) totals[name] = (totals[name] ?? 0) + count;
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function sayFailure(seed, failure, replay) {
  say(`seed ${seed} failed: ${failure.split('\n').slice(0, 6).join('\n  ')}`);
  say(`  again: npm run sim -- --seed ${seed} --trace${replay}`);
}

/** Ten seconds apart; on a terminal in place, each second. */
function showProgress(totals, count) {
  const terminal = process.stdout.isTTY;
  const begun = Date.now();
  return setInterval(
    () => {
      const rate = (totals.done / ((Date.now() - begun) / 1000)).toFixed(1);
      const text = `${totals.done} of ${count} seeds, ${totals.failures.length} failed, ${rate}/s`;
      if (terminal) process.stdout.write(`\r${text}\x1b[K`);
      else say(text);
    },
    terminal ? 1000 : 10_000,
  );
}

function list(counts) {
  const entries = Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.map(([name, count]) => `${name} ${count}`).join(', ');
}

function summarize(totals, seconds) {
  const perCore = totals.perSecond.toFixed(1);
  const operations = Math.round(totals.operations / Math.max(1, totals.done));
  say(`faults: ${list(totals.faults)}`);
  say(`what they hit: ${list(totals.hits)}`);
  say(
    `${totals.clean} seeds clean, ${totals.failures.length} failed in ${seconds.toFixed(1)} s ` +
      `(${perCore} a second on one core by CPU time, ${operations} client operations each)`,
  );
}

/** Some faults need two nodes. */
function neverMet(totals, nodes) {
  if (totals.done < SEEDS_FOR_EVERY_FAULT || nodes === 3) return [];
  const { made, hit } = faultNames();
  const absent = (names, counts) => names.filter((name) => (counts[name] ?? 0) === 0);
  return [...absent(made, totals.faults), ...absent(hit, totals.hits)];
}

/** Keeps the entry of this run up to date, so that not even a power loss costs much of it. */
function beginTally(from, totals) {
  const entry = new TallyEntry(talliedCommit(), from);
  const timer = setInterval(() => entry.save(totals.perSecond), SAVED_EVERY_MS);
  return {
    add: (seed, clean) => entry.add(seed, clean),
    end: () => {
      clearInterval(timer);
      entry.save(totals.perSecond);
      formatTally();
      say(`${countClean()} different seeds clean in the tally`);
    },
  };
}

async function main() {
  const options = parse();
  if (options.tally) refuseTally(options);
  if (run(process.execPath, ['scripts/build.mjs', 'sim']) !== 0) return 1;
  const environment = options.mutant === undefined ? {} : mutantEnvironment(options.mutant);
  const replay = ['nodes', 'mutant']
    .map((name) => (options[name] === undefined ? '' : ` --${name} ${options[name]}`))
    .join('');
  const totals = new Totals();
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => abort.abort());
  const begun = Date.now();
  const progress = options.count > 1 ? showProgress(totals, options.count) : undefined;
  const tally = options.tally ? beginTally(options.from, totals) : undefined;
  const onOutcome = (outcome) => {
    const failure = totals.add(outcome);
    tally?.add(outcome.seed, failure === undefined);
    if (outcome.trace !== undefined) say(outcome.trace);
    if (failure !== undefined && totals.failures.length <= SHOWN_FAILURES) {
      sayFailure(outcome.seed, failure, replay);
    }
    return true;
  };
  await runSeeds({ ...options, environment, onOutcome, signal: abort.signal });
  clearInterval(progress);
  if (process.stdout.isTTY) process.stdout.write('\r\x1b[K');
  summarize(totals, (Date.now() - begun) / 1000);
  tally?.end();
  if (abort.signal.aborted) {
    say(`interrupted after ${totals.done} of ${options.count} seeds from ${options.from} on`);
    return 130;
  }
  const absent = neverMet(totals, options.nodes);
  if (absent.length > 0) say(`never met: ${absent.join(', ')}`);
  return totals.failures.length + absent.length > 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`sim: ${error.message}\n`);
  process.exitCode = 2;
}
