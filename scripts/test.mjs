// npm test, after setup: the house checks, the native tests, then jest's unit and system tests.
// Prints one block for each suite and last the line `N passed, N failed`; exits 1 when one failed.
// `node scripts/test.mjs native unit` runs only the named suites.
// Each suite runs in a process group of its own, which is killed when this process is interrupted.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { lintChecks } from './lint.mjs';
import { filesBelow, npmBin, root } from './lib/tools.mjs';

const SYSTEM_FOLDERS = ['test/wire', 'test/sim', 'test/dbus', 'test/packaging', 'test/system'];
const SUITE_DEADLINE_MS = {
  checks: 300_000,
  native: 900_000,
  sanitized: 1_200_000,
  sim: 900_000,
  unit: 300_000,
  system: 2_400_000,
};

/** Of each random native test under the sanitizers. */
const SANITIZED_SEEDS = '5';

/** Of `npm run sim`. */
const SIMULATED_SEEDS = '1000';

/** A stack frame inside jest or Node, which says nothing about the test. */
const FRAME = /^\s+at .*(node_modules\/|node:internal|Promise\.finally|new Promise)/;

const scratch = mkdtempSync(join(tmpdir(), 'blkmirror-test-'));
let running;

/** Runs a program to its end or its deadline; `onLine` sees each line of its standard output. */
function runProgram(command, args, deadlineMs, onLine, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: root,
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env, FORCE_COLOR: '0' },
    });
    running = child;
    let rest = '';
    let errors = '';
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      killGroup(child);
    }, deadlineMs);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      lines.forEach(onLine);
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
      errors += text;
      // Jest reports each file it has run; the system tests take long enough to want to see that.
      for (const [file] of text.matchAll(
        /^(?:PASS|FAIL) test\/(?:dbus|packaging|system|wire|sim)\/.*/gm,
      )) {
        say(`  ${file}`);
      }
    });
    child.on('error', (error) => {
      errors += `${command}: ${error.message}\n`;
    });
    child.on('close', (status) => {
      clearTimeout(timer);
      running = undefined;
      if (rest !== '') onLine(rest);
      if (timedOut) errors += `${command}: not done after ${deadlineMs / 1000} s\n`;
      resolve({ status: timedOut ? 1 : (status ?? 1), errors });
    });
  });
}

function killGroup(child) {
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    // It has ended already.
  }
}

async function checksSuite(counts) {
  for (const check of lintChecks(false)) {
    const lines = [];
    const end = await runProgram(check.command, check.args, SUITE_DEADLINE_MS.checks, (line) =>
      lines.push(line),
    );
    count(counts, end.status === 0, check.name, `${lines.join('\n')}\n${end.errors}`);
  }
}

function nativeSuite(counts) {
  return runNativeTests(counts, 'native', {});
}

/** Once more with the address and undefined-behaviour sanitizers, which make them slower. */
function sanitizedSuite(counts) {
  return runNativeTests(counts, 'sanitized', { SANITIZE: '1', SEEDS: SANITIZED_SEEDS });
}

async function runNativeTests(counts, name, env) {
  const onLine = (line) => {
    if (line.startsWith('ok ')) counts.passed++;
    else if (line.startsWith('FAIL ')) count(counts, false, line.slice(5), '');
    else say(line);
  };
  const end = await runProgram('native/test/run.sh', [], SUITE_DEADLINE_MS[name], onLine, env);
  if (end.status === 0) return;
  // run.sh fails only after a FAIL line, unless it could not run at all.
  if (counts.failed === 0) count(counts, false, 'native/test/run.sh', end.errors);
  else say(end.errors);
}

async function jestSuite(counts, name, args) {
  const report = join(scratch, `${name}.json`);
  const jest = [...args, '--json', `--outputFile=${report}`, '--silent=false', '--forceExit'];
  const end = await runProgram(npmBin('jest'), jest, SUITE_DEADLINE_MS[name], () => {});
  if (!existsSync(report)) {
    count(counts, false, `jest ${args.join(' ')}`, end.errors);
    return;
  }
  const results = JSON.parse(readFileSync(report, 'utf8'));
  counts.passed += results.numPassedTests;
  counts.skipped += results.numPendingTests + results.numTodoTests;
  for (const file of results.testResults) {
    const failed = file.assertionResults.filter((test) => test.status === 'failed');
    for (const test of failed) {
      count(counts, false, test.fullName, test.failureMessages.join('\n'));
    }
    // A file that does not even load has no tests of its own to fail.
    if (file.status === 'failed' && failed.length === 0)
      count(counts, false, file.name, file.message);
  }
}

/** Whole mirrors in a simulated world, each seed with crashes, power losses and cuts. */
async function simSuite(counts) {
  const args = ['scripts/sim.mjs', '--seeds', SIMULATED_SEEDS, '--jobs', '2'];
  const lines = [];
  const onLine = (line) => lines.push(line);
  const end = await runProgram(process.execPath, args, SUITE_DEADLINE_MS.sim, onLine);
  const [, clean, failed] = /(\d+) seeds clean, (\d+) failed/.exec(lines.join('\n')) ?? [];
  counts.passed += Number(clean ?? 0);
  if (end.status === 0 && Number(clean) > 0) return;
  count(counts, false, `${failed ?? 'all'} seeds of npm run sim`, lines.join('\n') + end.errors);
}

function unitSuite(counts) {
  return jestSuite(counts, 'unit', ['test/unit', '--maxWorkers=2']);
}

function systemSuite(counts) {
  const folders = SYSTEM_FOLDERS.filter((folder) => filesBelow(folder, isTestFile).length > 0);
  if (folders.length === 0) return undefined;
  return jestSuite(counts, 'system', [...folders, '--maxWorkers=2', '--testTimeout=120000']);
}

function isTestFile(file) {
  return file.endsWith('.test.ts');
}

function count(counts, passed, name, why) {
  if (passed) {
    counts.passed++;
    return;
  }
  counts.failed++;
  say(`  FAIL ${name}`);
  const lines = why.split('\n').filter((line) => line.trim() !== '' && !FRAME.test(line));
  for (const line of lines.slice(0, 60)) say(`       ${line}`);
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

function interrupted(signal) {
  if (running !== undefined) killGroup(running);
  rmSync(scratch, { recursive: true, force: true });
  process.exit(signal === 'SIGINT' ? 130 : 143);
}

async function main() {
  const suites = [
    ['checks', 'types and style', checksSuite],
    ['native', 'native tests', nativeSuite],
    ['sanitized', 'native tests under sanitizers', sanitizedSuite],
    ['unit', 'unit tests', unitSuite],
    ['sim', 'simulated mirrors', simSuite],
    ['system', 'system tests', systemSuite],
  ];
  const only = process.argv.slice(2);
  const total = { passed: 0, failed: 0 };
  for (const [name, title, suite] of suites) {
    if (only.length > 0 && !only.includes(name)) continue;
    const counts = { passed: 0, failed: 0, skipped: 0 };
    const start = Date.now();
    say(`${title} ...`);
    await suite(counts);
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
    const seconds = ((Date.now() - start) / 1000).toFixed(1);
    say(`  ${counts.passed} passed, ${counts.failed} failed${skipped} (${seconds} s)`);
    total.passed += counts.passed;
    total.failed += counts.failed;
  }
  rmSync(scratch, { recursive: true, force: true });
  say(`${total.passed} passed, ${total.failed} failed`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupted(signal));
process.exit(await main());
