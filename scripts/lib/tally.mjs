// test/sim/tally.json: which seeds the simulator has run clean, by commit. One entry a run:
// {commit, from, to, clean, failed, failedSeeds, perSecond}, all seeds from `from` to `to` done.
// Used by sim.mjs.

import { readFileSync, renameSync, writeFileSync } from 'node:fs';

/** The seed after the last one of any entry: where to go on. */
export function nextSeed(path) {
  return read(path).reduce((next, { to }) => Math.max(next, to + 1), 1);
}

/** Seeds that some run had clean; one that several had counts once. */
export function countClean(path) {
  const clean = new Set();
  for (const { from, to, failedSeeds } of read(path)) {
    const failed = new Set(failedSeeds);
    for (let seed = from; seed <= to; seed += 1) if (!failed.has(seed)) clean.add(seed);
  }
  return clean.size;
}

/** The entry of one run. What is saved counts seeds up to the first that is not done yet. */
export class TallyEntry {
  #done = new Map();
  #to;

  constructor(path, commit, from) {
    this.path = path;
    this.commit = commit;
    this.from = from;
    this.#to = from - 1;
    this.before = read(path);
  }

  add(seed, clean) {
    this.#done.set(seed, clean);
    while (this.#done.has(this.#to + 1)) this.#to += 1;
  }

  /** May be called again and again; does nothing before the first seed is done. */
  save(perSecond) {
    const { path, commit, from, before } = this;
    const to = this.#to;
    if (to < from) return;
    const failedSeeds = [];
    for (let seed = from; seed <= to; seed += 1) if (!this.#done.get(seed)) failedSeeds.push(seed);
    const failed = failedSeeds.length;
    const clean = to - from + 1 - failed;
    const rate = Math.round(perSecond * 10) / 10;
    write(path, [...before, { commit, from, to, clean, failed, failedSeeds, perSecond: rate }]);
  }
}

function read(path) {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** Whole or not at all. */
function write(path, entries) {
  const lines = entries.map((one) => `  ${JSON.stringify(one)}`).join(',\n');
  writeFileSync(`${path}.new`, `[\n${lines}\n]\n`);
  renameSync(`${path}.new`, path);
}
