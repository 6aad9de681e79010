// npm run sim:mutants: shows that the simulator finds bugs. Each mutant of test/sim/mutants.json
// breaks one safety rule; it must be caught within 1,000 seeds (--limit N). Prints after how many,
// and by what. `-- NAME ...` runs only those; --jobs J. Ends with 1 when one was not caught, when
// its text is stale, or when a test that the table names for what cannot be modelled is not there.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { mutantEnvironment, readElsewhere, readMutants } from './lib/mutating.mjs';
import { runSeeds } from './lib/simulating.mjs';
import { root, run } from './lib/tools.mjs';

const RULES = Array.from({ length: 13 }, (_, index) => index + 1);

/** The first failing seed's outcome, or undefined; `seeds`: how many were run. */
async function hunt(name, limit, jobs, signal) {
  const environment = mutantEnvironment(name);
  let seeds = 0;
  let caught;
  const onOutcome = (outcome) => {
    seeds += 1;
    if (outcome.failure !== undefined) caught ??= outcome;
    return caught === undefined;
  };
  await runSeeds({ from: 1, count: limit, jobs, environment, onOutcome, signal });
  return { seeds, caught };
}

function say(text) {
  process.stdout.write(`${text}\n`);
}

function checkElsewhere(mutants) {
  const named = readElsewhere();
  const missing = named.filter(({ test }) => !existsSync(join(root, test)));
  for (const { rule, breaks, test } of named) say(`rule ${rule}: ${breaks}: ${test}`);
  for (const { test } of missing) say(`${test} is not there`);
  const covered = new Set([...mutants, ...named].map(({ rule }) => rule));
  const bare = RULES.filter((rule) => !covered.has(rule));
  if (bare.length > 0) say(`no mutant breaks rule ${bare.join(', ')}`);
  return missing.length + bare.length;
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      limit: { type: 'string', default: '1000' },
      jobs: { type: 'string', default: String(availableParallelism()) },
    },
  });
  if (run(process.execPath, ['scripts/build.mjs', 'sim']) !== 0) return 1;
  const all = readMutants();
  const abort = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => abort.abort());
  let failed = checkElsewhere(all);
  for (const { name, rule, breaks } of all) {
    if (positionals.length > 0 && !positionals.includes(name)) continue;
    const { seeds, caught } = await hunt(
      name,
      Number(values.limit),
      Number(values.jobs),
      abort.signal,
    );
    if (abort.signal.aborted) return 130;
    if (caught === undefined) failed += 1;
    const how =
      caught === undefined
        ? `NOT CAUGHT within ${seeds} seeds`
        : `caught after ${seeds} seeds (seed ${caught.seed}): ${caught.failure.split('\n')[0]}`;
    say(`rule ${rule}: ${name} (${breaks}): ${how}`);
  }
  say(failed === 0 ? 'every mutant was caught' : `${failed} problems`);
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`sim:mutants: ${error.message}\n`);
  process.exitCode = 2;
}
