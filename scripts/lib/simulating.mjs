// Runs seeds of the simulator (test/sim) in processes of their own, so that a failed assertion of
// the engine, or a seed that never ends, costs one seed. Used by sim.mjs and sim-mutants.mjs.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { root } from './tools.mjs';

const LOADER = join(root, 'test', 'sim', 'loader.cjs');
const BATCH = join(root, 'test', 'sim', 'batch.ts');
const SEED_DEADLINE_MS = 120_000;
const SHOWN_ERROR_LINES = 12;

/**
 * Runs the seeds `from` to `from + count - 1` in `jobs` processes; `onOutcome` gets each outcome as
 * it comes and may answer false: then no further seed is begun. `nodes`: 2 or 3, whatever a seed
 * has. `signal` (AbortSignal) ends all at once. Resolves when every process has ended.
 */
export async function runSeeds(wanted) {
  const { from, count, jobs, trace, nodes, environment, onOutcome, signal } = wanted;
  let next = from;
  const take = () => (next < from + count && signal?.aborted !== true ? next++ : undefined);
  const finish = (outcome) => {
    if (signal?.aborted !== true && onOutcome(outcome) === false) next = from + count;
  };
  const flags = nodes === undefined ? [] : ['--nodes', String(nodes)];
  if (trace === true) flags.push('--trace');
  const options = { flags, environment: environment ?? {}, signal };
  const workers = Array.from({ length: Math.min(jobs, count) }, () => work(take, finish, options));
  await Promise.all(workers);
}

/** One process after another, each until it dies or no seed is left. */
async function work(take, finish, options) {
  let seed = take();
  while (seed !== undefined) seed = await runProcess(seed, take, finish, options);
}

function runProcess(first, take, finish, { flags, environment, signal }) {
  return new Promise((resolve) => {
    const program = ['--no-warnings', '--enable-source-maps', '-r', LOADER, BATCH];
    const child = spawn(process.execPath, [...program, ...flags], {
      cwd: root,
      // A Ctrl-C is for the runner alone, which ends this process then.
      detached: true,
      env: { ...process.env, ...environment },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    let seed = first;
    let errors = '';
    let late = false;
    let timer;
    const kill = () => child.kill('SIGKILL');
    signal?.addEventListener('abort', kill);
    const send = () => {
      timer = setTimeout(() => {
        late = true;
        kill();
      }, SEED_DEADLINE_MS);
      child.stdin.write(`${seed}\n`);
    };
    child.stdin.on('error', () => {});
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors = (errors + text).slice(-4000);
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      clearTimeout(timer);
      finish(JSON.parse(line));
      seed = take();
      if (seed === undefined) child.stdin.end();
      else send();
    });
    child.on('close', (status, killer) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', kill);
      if (seed === undefined || signal?.aborted === true) return resolve(undefined);
      finish({ seed, failure: describeDeath(status, killer, late, errors), died: true });
      resolve(take());
    });
    send();
  });
}

function describeDeath(status, killer, late, errors) {
  if (late) return `not done after ${SEED_DEADLINE_MS / 1000} s`;
  const lines = errors.trim().split('\n').slice(0, SHOWN_ERROR_LINES).join('\n');
  return lines === '' ? `the process ended with ${killer ?? status}` : lines;
}
