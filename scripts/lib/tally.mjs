// test/sim/tally.json: which seeds the simulator has run clean, and what it covers, by commit. One
// entry a run: {commit, from, to, clean, failed, failedSeeds, perSecond}, all seeds from `from` to
// `to` done. Or, of a run that counted what was reached: {commit, from, to, coverage: {scenarios
// (test files), rulesBranches, engineLines (both in percent)}}; its seeds count for nothing else.
// Used by sim.mjs and sim-coverage.mjs.

import { execFileSync } from 'node:child_process';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { npmBin, root, run } from './tools.mjs';

const TALLY = join(root, 'test', 'sim', 'tally.json');

/** The commit that a run is counted for; an error when the tree is not that. */
export function talliedCommit() {
  const changed = git('status', '--porcelain', '--', '.', ':!test/sim/tally.json');
  if (changed !== '')
    throw new Error(`--tally counts commits, but the tree has changes:\n${changed}`);
  return git('rev-parse', 'HEAD');
}

/** The seed after the last one of any entry: where to go on. */
export function nextSeed() {
  return runs().reduce((next, { to }) => Math.max(next, to + 1), 1);
}

/** Seeds that some run had clean; one that several had counts once. */
export function countClean() {
  const clean = new Set();
  for (const { from, to, failedSeeds } of runs()) {
    const failed = new Set(failedSeeds);
    for (let seed = from; seed <= to; seed += 1) if (!failed.has(seed)) clean.add(seed);
  }
  return clean.size;
}

/** The entry of one run. What is saved counts seeds up to the first that is not done yet. */
export class TallyEntry {
  #done = new Map();
  #to;

  constructor(commit, from) {
    this.commit = commit;
    this.from = from;
    this.#to = from - 1;
    this.before = read();
  }

  add(seed, clean) {
    this.#done.set(seed, clean);
    while (this.#done.has(this.#to + 1)) this.#to += 1;
  }

  /** May be called again and again; does nothing before the first seed is done. */
  save(perSecond) {
    const { commit, from, before } = this;
    const to = this.#to;
    if (to < from) return;
    const failedSeeds = [];
    for (let seed = from; seed <= to; seed += 1) if (!this.#done.get(seed)) failedSeeds.push(seed);
    const failed = failedSeeds.length;
    const clean = to - from + 1 - failed;
    const rate = tenths(perSecond);
    write([...before, { commit, from, to, clean, failed, failedSeeds, perSecond: rate }]);
  }
}

/** What the seeds from `from` to `to` and the scenarios reached together. */
export function addCoverage({ commit, from, to, scenarios, rulesBranches, engineLines }) {
  const [branches, lines] = [tenths(rulesBranches), tenths(engineLines)];
  const coverage = { scenarios, rulesBranches: branches, engineLines: lines };
  write([...read(), { commit, from, to, coverage }]);
}

/** As the linter wants it; not needed before the end of a run. */
export function formatTally() {
  run(npmBin('prettier'), ['--write', '--log-level=error', TALLY]);
}

function runs() {
  return read().filter(({ coverage }) => coverage === undefined);
}

/** Not rounded up to what was not reached. */
function tenths(value) {
  return Math.floor(value * 10) / 10;
}

function git(...args) {
  return execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
}

function read() {
  return JSON.parse(readFileSync(TALLY, 'utf8'));
}

/** Whole or not at all. */
function write(entries) {
  const lines = entries.map((one) => `  ${JSON.stringify(one)}`).join(',\n');
  writeFileSync(`${TALLY}.new`, `[\n${lines}\n]\n`);
  renameSync(`${TALLY}.new`, TALLY);
}
