/**
 * A process of the runner (scripts/sim.mjs): runs the seeds it is told on its standard input, a
 * line each, and answers with a line of JSON for each. A failed assertion of the engine ends the
 * process; the runner knows by the missing answer which seed it was.
 *
 * `--trace`: the answer has a trace. `--nodes N`: so many nodes (2 or 3), whatever the seed has.
 * BLKMIRROR_SIM_ADDON: another addon than the usual one.
 */
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { runSeed } from './history';
import { loadSimAddon } from './simAddon';
import type { SimAddon } from './simAddon';

const { values } = parseArgs({
  options: { trace: { type: 'boolean', default: false }, nodes: { type: 'string' } },
});
const tracing = values.trace;
const nodes = values.nodes === undefined ? undefined : Number(values.nodes);
// Nobody looks at the stacks of the many errors that are part of the game.
if (!tracing) Error.stackTraceLimit = 0;
const rejections: string[] = [];

process.on('unhandledRejection', (reason) => {
  rejections.push(reason instanceof Error ? String(reason.stack) : String(reason));
});

/** In a task of its own: microtasks are drained from plain code only. */
function run(addon: SimAddon, seed: number): void {
  const started = process.cpuUsage();
  const outcome = runSeed(addon, seed, tracing, nodes);
  // Whatever nobody waited for shows when this task has ended.
  setImmediate(() => {
    const [rejection] = rejections.splice(0);
    const failure = outcome.failure ?? rejection;
    const used = process.cpuUsage(started);
    const ms = Math.round((used.user + used.system) / 100) / 10;
    const answer = { ...outcome, ...(failure === undefined ? {} : { failure }), ms };
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  });
}

const addon = loadSimAddon();
createInterface({ input: process.stdin }).on('line', (line) => {
  setImmediate(run, addon, Number(line));
});
