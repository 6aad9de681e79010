// npm run sim:coverage: what the simulator reaches, by seeds and by the scenarios of test/sim
// together. Options: --seeds N (200), --from N (1), --jobs J (all cores), --tally (adds the
// percentages to test/sim/tally.json; not with a changed tree). Prints the branches of src/rules
// and the lines of native/engine that neither reached, by file, and the percentages. Ends with 1
// when a seed or a scenario failed or a target is missed: 100 % of the rules' branches, 90 % of the
// engine's lines.

import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import {
  coveringEnvironment,
  engineCoverage,
  rulesCoverage,
  runScenarios,
  scenarioFiles,
} from './lib/covering.mjs';
import { runSeeds } from './lib/simulating.mjs';
import { addCoverage, formatTally, talliedCommit } from './lib/tally.mjs';
import { root, run } from './lib/tools.mjs';

const RULES_PERCENT = 100;
const ENGINE_PERCENT = 90;

function say(text) {
  process.stdout.write(`${text}\n`);
}

/** 3-5, 9 */
function ranges(lines) {
  const found = [];
  for (const line of [...new Set(lines)].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last !== undefined && line === last[1] + 1) last[1] = line;
    else found.push([line, line]);
  }
  return found.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

/** Answers the percentage. */
function report(what, files, wanted) {
  const total = files.reduce((sum, file) => sum + file.total, 0);
  const missed = files.reduce((sum, file) => sum + file.missed.length, 0);
  for (const { file, missed } of files) {
    if (missed.length > 0) say(`${file}: not reached: ${ranges(missed)}`);
  }
  const percent = (100 * (total - missed)) / total;
  say(`${what}: ${percent.toFixed(1)} % of ${total} (wanted: ${wanted} %)`);
  return percent;
}

async function main() {
  const { values } = parseArgs({
    options: {
      seeds: { type: 'string', default: '200' },
      from: { type: 'string', default: '1' },
      jobs: { type: 'string', default: String(availableParallelism()) },
      tally: { type: 'boolean', default: false },
    },
  });
  const commit = values.tally ? talliedCommit() : undefined;
  if (run(process.execPath, ['scripts/build.mjs', 'sim']) !== 0) return 1;
  say(`the engine of ${root} is compiled with counters`);
  const environment = coveringEnvironment();
  const [from, count, jobs] = [values.from, values.seeds, values.jobs].map(Number);
  let failed = 0;
  const onOutcome = ({ seed, failure }) => {
    if (failure === undefined) return;
    failed += 1;
    say(`seed ${seed} failed: ${failure.split('\n')[0]}`);
  };
  await runSeeds({ from, count, jobs, environment, onOutcome });
  const files = scenarioFiles();
  const passed = runScenarios(files, environment);
  say(`counted: seeds ${from} to ${from + count - 1}, and the scenarios of ${files.join(', ')}`);
  const rules = report('branches of src/rules', rulesCoverage(), RULES_PERCENT);
  const engine = report('lines of native/engine', engineCoverage(), ENGINE_PERCENT);
  if (failed > 0 || !passed) return 1;
  if (commit !== undefined) {
    const covered = { scenarios: files.length, rulesBranches: rules, engineLines: engine };
    addCoverage({ commit, from, to: from + count - 1, ...covered });
    formatTally();
  }
  return rules >= RULES_PERCENT && engine >= ENGINE_PERCENT ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`sim:coverage: ${error.message}\n`);
  process.exitCode = 2;
}
