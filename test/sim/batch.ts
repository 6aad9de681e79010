/**
 * A process of the runner (scripts/sim.mjs): runs the seeds it is told on its standard input, a
 * line each, and answers with a line of JSON for each. A failed assertion of the engine ends the
 * process; the runner knows by the missing answer which seed it was.
 *
 * `--trace`: the answer has a trace. BLKMIRROR_SIM_ADDON: another addon than the usual one.
 */
import { createInterface } from 'node:readline';
import { runSeed } from './history';
import { loadSimAddon } from './simAddon';

const tracing = process.argv.includes('--trace');
const rejections: string[] = [];

process.on('unhandledRejection', (reason) => {
  rejections.push(reason instanceof Error ? String(reason.stack) : String(reason));
});

async function main(): Promise<void> {
  const addon = loadSimAddon();
  for await (const line of createInterface({ input: process.stdin })) {
    const startedMs = performance.now();
    const outcome = runSeed(addon, Number(line), tracing);
    await new Promise((resolve) => setImmediate(resolve));
    const [rejection] = rejections.splice(0);
    const failure = outcome.failure ?? rejection;
    const ms = Math.round((performance.now() - startedMs) * 10) / 10;
    const answer = { ...outcome, ...(failure === undefined ? {} : { failure }), ms };
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

void main();
