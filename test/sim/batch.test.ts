// A seed is the same run wherever it comes: alone in its process, or after others in one.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { runSeed } from './history';
import type { Outcome } from './history';
import { drawPlan } from './plan';
import { loadSimAddon } from './simAddon';

const ROOT = join(__dirname, '..', '..');
const SEED = 5;
const OTHERS = [17, 4, 60];
const DEADLINE_MS = 60_000;

/** What there is of a run but for the time it took. */
type Run = Pick<Outcome, 'failure' | 'operations' | 'virtualMs' | 'faults' | 'hits' | 'hash'>;

function described({ failure, operations, virtualMs, faults, hits, hash }: Outcome): Run {
  return {
    operations,
    virtualMs,
    faults,
    hits,
    hash,
    ...(failure === undefined ? {} : { failure }),
  };
}

/** As scripts/lib/simulating.mjs does. */
function runsOfProcess(seeds: readonly number[], flags: readonly string[] = []): Run[] {
  const args = ['--no-warnings', '-r', './test/sim/loader.cjs', 'test/sim/batch.ts', ...flags];
  const input = seeds.map((seed) => `${seed}\n`).join('');
  const { stdout, status } = spawnSync(process.execPath, args, {
    cwd: ROOT,
    input,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    timeout: DEADLINE_MS,
  });
  expect(status).toBe(0);
  const lines = stdout.trim().split('\n');
  return lines.map((line) => described(JSON.parse(line) as Outcome));
}

test('a seed does after others in one process what it does alone', () => {
  const [alone] = runsOfProcess([SEED]);
  const together = runsOfProcess([...OTHERS, SEED, ...OTHERS, SEED]);
  expect(together).toHaveLength(8);
  expect(together[3]).toEqual(alone);
  expect(together[7]).toEqual(alone);
  expect(together.slice(4, 7)).toEqual(together.slice(0, 3));
});

test('a trace changes nothing', () => {
  expect(runsOfProcess([SEED], ['--trace'])).toEqual(runsOfProcess([SEED]));
});

test('a seed that has three nodes is the same run with --nodes 3, and another with two', () => {
  const seeds = Array.from({ length: 100 }, (_, index) => index + 1);
  const three = seeds.find((seed) => drawPlan(seed, []).nodes === 3) ?? 0;
  const [plain] = runsOfProcess([three]);
  expect(plain).toBeDefined();
  expect(runsOfProcess([three], ['--nodes', '3'])).toEqual([plain]);
  expect(runsOfProcess([three], ['--nodes', '2'])[0]?.hash).not.toBe(plain?.hash);
});

test('each seed has its operations and faults, and is another run', async () => {
  const outcomes = await new Promise<Outcome[]>((resolve) => {
    // Microtasks are run by hand, which cannot be done from within one.
    setImmediate(() => resolve(OTHERS.map((seed) => runSeed(loadSimAddon(), seed, false))));
  });
  expect(new Set(outcomes.map(({ hash }) => hash)).size).toBe(OTHERS.length);
  for (const { operations, faults } of outcomes) {
    expect(operations).toBeGreaterThanOrEqual(2000);
    const made = Object.values(faults).reduce((sum, count) => sum + count, 0);
    expect(made).toBeGreaterThanOrEqual(20);
  }
});
