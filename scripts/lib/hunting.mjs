// Looks for a seed of the simulator that a mutant fails and the unchanged tree does not. What was
// tried is kept under node_modules/.cache/sim by the hash of all that a run depends on, so that a
// hunt goes on where an interrupted one stopped. Used by sim-mutants.mjs.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mutantEnvironment } from './mutating.mjs';
import { runSeeds } from './simulating.mjs';
import { filesBelow, hashOf, root } from './tools.mjs';

const KEPT = join(root, 'node_modules', '.cache', 'sim', 'mutants.json');
/** Seeds between two notes of how far a hunt has come. */
const NOTED_EVERY = 20;

/** What is known of earlier runs over these sources, by mutant. */
export class Memory {
  /** `again`: as if nothing were known. */
  constructor(again) {
    this.sources = sourcesHash();
    if (again) rmSync(KEPT, { force: true });
  }

  /** What was kept of it; undefined when there is nothing, or not of these sources. */
  recall(mutant) {
    const entry = readKept()[mutant.name];
    return entry?.key === this.#key(mutant) ? entry : undefined;
  }

  keep(mutant, facts) {
    const known = { ...readKept(), [mutant.name]: { key: this.#key(mutant), ...facts } };
    mkdirSync(dirname(KEPT), { recursive: true });
    writeFileSync(`${KEPT}.${process.pid}`, JSON.stringify(known));
    renameSync(`${KEPT}.${process.pid}`, KEPT);
  }

  #key({ file, edits }) {
    return hashOf([], this.sources, JSON.stringify([file, edits]));
  }
}

function readKept() {
  return existsSync(KEPT) ? JSON.parse(readFileSync(KEPT, 'utf8')) : {};
}

function sourcesHash() {
  const native = filesBelow(
    'native',
    (file) => /\.(cc|h|gyp)$/.test(file) && !file.startsWith('native/build/'),
  );
  const typescript = ['src', 'test/sim', 'test/unit'].flatMap((folder) =>
    filesBelow(folder, (file) => file.endsWith('.ts')),
  );
  return hashOf([...native, ...typescript]);
}

/**
 * Seeds from 1 to `limit`, each alone with the mutant, until one is caught. Answers {seeds,
 * caught}: how many were tried, and {seed, failure} or undefined.
 */
export async function hunt(mutant, { limit, jobs, memory, signal }) {
  let { seeds = 0, caught } = memory.recall(mutant) ?? {};
  const environment = mutantEnvironment(mutant.name);
  while (caught === undefined && seeds < limit && signal.aborted !== true) {
    const suspect = await firstFailure(seeds + 1, limit, { jobs, environment, signal }, (done) =>
      memory.keep(mutant, { ...memory.recall(mutant), seeds: done }),
    );
    if (signal.aborted) break;
    seeds = suspect?.seed ?? limit;
    const innocent = suspect === undefined || (await failsAnyway(suspect.seed, signal));
    if (signal.aborted) break;
    if (!innocent) caught = suspect;
    memory.keep(mutant, { ...memory.recall(mutant), seeds, caught });
  }
  return { seeds, caught };
}

/** The lowest seed that failed among those that were run until one did. */
async function firstFailure(from, limit, { jobs, environment, signal }, note) {
  const done = new Set();
  let [clean, suspect] = [from - 1, undefined];
  const onOutcome = ({ seed, failure }) => {
    if (failure === undefined) done.add(seed);
    else if (suspect === undefined || seed < suspect.seed) suspect = { seed, failure };
    while (done.has(clean + 1)) clean += 1;
    if (clean % NOTED_EVERY === 0) note(clean);
    return suspect === undefined;
  };
  await runSeeds({ from, count: limit - from + 1, jobs, environment, onOutcome, signal });
  return suspect;
}

async function failsAnyway(seed, signal) {
  let failed = false;
  const onOutcome = ({ failure }) => {
    failed = failure !== undefined;
  };
  await runSeeds({ from: seed, count: 1, jobs: 1, onOutcome, signal });
  return failed;
}
