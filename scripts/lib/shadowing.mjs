// Runs one named test against a mutant: in a copy of the tree below build-native, where the
// mutant's edit is made, so that the tree itself never changes. Native tests are compiled there,
// those of jest run as they are; tests of the simulator get the mutant's addon.
// A test counts as one that catches a mutant only when it passes without it.
// What runs a test is waited for, not blocked on: an interrupt is heard, and ends it with all that
// it has started.

import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { editedText, mutantEnvironment } from './mutating.mjs';
import { npmBin, root } from './tools.mjs';

const SHADOW = join(root, 'build-native', 'mutants', 'tree');
/** What tests are made of; the rest of the tree is not there. */
const PARTS = ['native', 'src', 'test', 'scripts', 'dbus', 'package.json'];
const SETTINGS = ['jest.config.cjs', 'tsconfig.json', 'tsconfig.test.json'];
const LINKS = ['node_modules', 'native/build', 'dist'];
const TEST_DEADLINE_MS = 1_200_000;
const OUTPUT_BYTES = 64 << 20;

const passedBefore = new Map();

/**
 * Answers what the test said against the mutant, or undefined when it passed all the same.
 * @throws what `signal` (AbortSignal) was aborted with, too
 */
export async function catchByTest(mutant, signal) {
  const { test } = mutant;
  const key = `${test.file}: ${test.name}`;
  if (!passedBefore.has(key)) {
    copyTree();
    const failure = await runTest(test, { signal });
    if (failure !== undefined) throw new Error(`${key}: fails without any mutant: ${failure}`);
    passedBefore.set(key, true);
  }
  copyTree({ file: mutant.file, text: editedText(mutant) });
  const simulated = test.file.startsWith('test/sim/') && mutant.file.endsWith('.cc');
  const environment = simulated ? mutantEnvironment(mutant.name) : {};
  const failure = await runTest(test, { environment, signal });
  copyTree();
  return failure;
}

/** Only what differs is written: make goes by the times of files. */
function copyTree(edit) {
  const listed = execFileSync(
    'git',
    ['ls-files', '-z', '-co', '--exclude-standard', '--', ...PARTS, ...SETTINGS],
    { cwd: root, encoding: 'utf8', maxBuffer: OUTPUT_BYTES },
  );
  const files = listed.split('\0').filter((file) => isFile(join(root, file)));
  for (const file of files) {
    const wanted = file === edit?.file ? Buffer.from(edit.text) : readFileSync(join(root, file));
    copyFile(join(SHADOW, file), wanted, statSync(join(root, file)).mode);
  }
  for (const link of LINKS) {
    mkdirSync(dirname(join(SHADOW, link)), { recursive: true });
    const known = lstatSync(join(SHADOW, link), { throwIfNoEntry: false }) !== undefined;
    if (!known) symlinkSync(join(root, link), join(SHADOW, link));
  }
  removeOthers(new Set(files));
}

function isFile(path) {
  return existsSync(path) && statSync(path).isFile();
}

function copyFile(path, wanted, mode) {
  if (existsSync(path) && readFileSync(path).equals(wanted)) return;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, wanted, { mode });
}

function removeOthers(files) {
  const found = execFileSync('find', [...PARTS, '-type', 'f'], {
    cwd: SHADOW,
    encoding: 'utf8',
    maxBuffer: OUTPUT_BYTES,
  });
  for (const file of found.split('\n').filter((one) => one !== '')) {
    if (!files.has(file)) rmSync(join(SHADOW, file));
  }
}

/** undefined: it passed; else why not. A test that is not there, or not built, is an error. */
async function runTest(test, options) {
  if (!existsSync(join(root, test.file))) throw new Error(`${test.file} is not there`);
  return test.file.endsWith('.cc') ? runNative(test, options) : runJest(test, options);
}

/** `seeds`: of a test that runs random histories, more than it does by itself. */
async function runNative({ file, name, seeds }, { signal }) {
  const binary = basename(file, '.cc');
  const make = ['-s', '-j2', '-C', 'native/test', 'OUT=../../build-native', 'WERROR='];
  for (const target of [['objects'], ['tests', `TESTS=${binary}`]]) {
    const { status, stderr } = await inShadow('make', [...make, ...target], { signal });
    if (status !== 0) throw new Error(`${file} does not build: ${stderr.slice(0, 2000)}`);
  }
  const environment = seeds === undefined ? {} : { SEEDS: String(seeds) };
  const program = join(SHADOW, 'build-native', binary);
  const { status, stdout, stderr } = await inShadow(program, [name], { environment, signal });
  const lines = stdout.split('\n');
  if (status === 0 && !lines.includes(`ok ${name}`)) throw new Error(`${file} has no ${name}`);
  if (status === 0) return undefined;
  const failed = lines.find((line) => line.startsWith(`FAIL ${name}`));
  return failed ?? stderr.trim().split('\n')[0] ?? `ended with status ${status}`;
}

async function runJest({ file, name }, options) {
  const pattern = `^${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`;
  const args = ['--json', '--runTestsByPath', file, '-t', pattern, '--forceExit'];
  const { stdout, stderr } = await inShadow(npmBin('jest'), args, options);
  const start = stdout.indexOf('{');
  if (start < 0) throw new Error(`jest did not run ${file}: ${stderr.slice(0, 2000)}`);
  const { numPassedTests, testResults } = JSON.parse(stdout.slice(start));
  const results = testResults.flatMap(({ assertionResults }) => assertionResults);
  const failed = results.find(({ status }) => status === 'failed');
  if (failed !== undefined) return firstWords(failed.failureMessages[0] ?? 'failed');
  if (numPassedTests === 0) {
    const died = testResults.find(({ status }) => status === 'failed');
    if (died !== undefined) return firstWords(died.message);
    throw new Error(`${file} has no test ${name}`);
  }
  return undefined;
}

/** Without the colours of a terminal. */
function firstWords(text) {
  // eslint-disable-next-line no-control-regex
  return text.replace(/\x1b\[[0-9;]*m/g, '').split('\n')[0];
}

/** Answers its status (null: killed) and output; nothing of it is left running. */
function inShadow(command, args, { environment, signal }) {
  return new Promise((resolve, reject) => {
    signal.throwIfAborted();
    const child = spawn(command, args, {
      cwd: SHADOW,
      detached: true,
      env: { ...process.env, ...environment },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const output = { stdout: '', stderr: '' };
    for (const name of ['stdout', 'stderr']) {
      child[name].setEncoding('utf8').on('data', (text) => {
        output[name] += text;
        if (output[name].length > OUTPUT_BYTES) killGroup(child);
      });
    }
    const end = () => killGroup(child);
    const timer = setTimeout(end, TEST_DEADLINE_MS);
    signal.addEventListener('abort', end);
    child.on('error', reject);
    child.on('exit', end);
    child.on('close', (status) => {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
      if (signal.aborted) reject(signal.reason);
      else resolve({ status, ...output });
    });
  });
}

function killGroup({ pid }) {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
