// npm run fuzz [-- TARGET...] [--seconds N] [--seed N]: coverage-guided fuzzing of everything that
// reads foreign bytes, with the address and undefined-behaviour sanitizers (clang-19, libFuzzer).
// Without names every target runs, one after the other. Inputs worth keeping are merged into
// native/test/fuzz/corpus/TARGET, which `npm test` runs; an input that fails is left in
// build-native/fuzz/crashes and named. Ctrl-C ends the target that runs and keeps what it found.

import { mkdirSync, readdirSync, rmSync, statSync, copyFileSync, existsSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { installPackages, missingPackages, NEEDED_TO_FUZZ } from './lib/packages.mjs';
import { root, run, runQuietly } from './lib/tools.mjs';

const NATIVE_TARGETS = [
  'nbd_handshake',
  'nbd_requests',
  'replication_frames',
  'superblock',
  'activity_log',
  'bitmap',
];
const CONTROL = 'control_json';
const OUT = join(root, 'build-native', 'fuzz');
const NATIVE_TESTS = join(root, 'native', 'test');
const FLAGS = [
  '-O1',
  '-g',
  '-fno-omit-frame-pointer',
  '-fsanitize=address,undefined,fuzzer-no-link',
  '-fno-sanitize-recover=all',
  `-fsanitize-coverage-ignorelist=${join(NATIVE_TESTS, 'fuzz', 'not_guided.list')}`,
  '-DBLKMIRROR_SMALL_LIMITS',
];
/** Of inputs kept in the tree for each target, and their size: they are run by every `npm test`. */
const MOST_KEPT = 600;
const MOST_KEPT_ALL_BYTES = 200 << 10;
const MOST_KEPT_BYTES = 16 << 10;
const MOST_INPUT_BYTES = { nbd_handshake: 8192, superblock: 8192 };

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: '1' } },
});
const seconds = Number(values.seconds);
const known = [...NATIVE_TARGETS, CONTROL];
const unknown = positionals.filter((name) => !known.includes(name));
if (!Number.isInteger(seconds) || seconds < 1 || unknown.length > 0) {
  const wrong = unknown.length > 0 ? `there is no target ${unknown[0]}` : '--seconds is no number';
  process.stderr.write(`fuzz: ${wrong}; the targets are ${known.join(', ')}\n`);
  process.exit(2);
}

const missing = missingPackages(NEEDED_TO_FUZZ);
if (missing.length > 0 && !installPackages(missing)) process.exit(1);

let status = 0;
for (const name of positionals.length > 0 ? positionals : known) {
  status ||= name === CONTROL ? fuzzControl() : fuzzNative(name);
}
process.exitCode = status;

function fuzzControl() {
  const script = join(root, 'scripts', 'fuzz', 'control.mjs');
  return run(process.execPath, [script, '--seconds', values.seconds, '--seed', values.seed]);
}

function fuzzNative(name) {
  const program = build(name);
  if (program === undefined) return 1;
  const kept = join(root, 'native', 'test', 'fuzz', 'corpus', name);
  const found = join(OUT, 'found', name);
  const crashes = join(OUT, 'crashes');
  for (const folder of [kept, found, crashes]) mkdirSync(folder, { recursive: true });
  process.stdout.write(`${name}: ${seconds} s\n`);
  const end = run(program, [
    `-max_total_time=${seconds}`,
    `-seed=${values.seed}`,
    `-max_len=${MOST_INPUT_BYTES[name] ?? 2048}`,
    '-len_control=10',
    '-timeout=20',
    '-rss_limit_mb=4096',
    '-print_final_stats=1',
    '-verbosity=0',
    '-print_funcs=0',
    `-artifact_prefix=${crashes}/${name}-`,
    found,
    kept,
  ]);
  if (end !== 0) {
    process.stderr.write(`${name}: failed; the input is in ${crashes}\n`);
    return end;
  }
  keep(program, name, found, kept);
  return 0;
}

/** The smallest set of inputs that covers what all of them do replaces what was kept. */
function keep(program, name, found, kept) {
  const merged = join(OUT, 'merged', name);
  rmSync(merged, { recursive: true, force: true });
  mkdirSync(merged, { recursive: true });
  const merge = ['-merge=1', `-max_len=${MOST_KEPT_BYTES}`, merged, kept, found];
  if (runQuietly(program, merge) !== 0) return;
  let bytes = 0;
  const bySize = readdirSync(merged)
    .map((file) => join(merged, file))
    .sort((a, b) => statSync(a).size - statSync(b).size)
    .filter((file) => (bytes += statSync(file).size) <= MOST_KEPT_ALL_BYTES)
    .slice(0, MOST_KEPT);
  rmSync(kept, { recursive: true, force: true });
  mkdirSync(kept, { recursive: true });
  for (const file of bySize) {
    const hash = createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16);
    copyFileSync(file, join(kept, hash));
  }
  process.stdout.write(`${name}: ${bySize.length} inputs kept\n`);
}

/** Path of the program, undefined when it does not build. */
function build(name) {
  const objects = join(OUT, 'objects');
  mkdirSync(objects, { recursive: true });
  const sources = 'DIRS=base io nbd peer disk meta engine host sim';
  const archive = `${relative(NATIVE_TESTS, objects)}/libblkmirror.a`;
  const make = ['-s', '-C', NATIVE_TESTS, `OUT=${dirname(archive)}`, 'WERROR=', '-j2', sources];
  const tools = ['CXX=clang++-19', 'AR=llvm-ar-19', `CXXFLAGS=${FLAGS.join(' ')}`];
  // The archive is of the objects that are there when make starts.
  for (const goal of ['objects', archive]) {
    if (runQuietly('make', [...make, ...tools, goal]) !== 0) return undefined;
  }
  const program = join(OUT, name);
  const own = ['-std=gnu++20', '-fsanitize=fuzzer', '-fno-exceptions', '-fno-rtti', '-Inative'];
  const main = join('native', 'test', 'fuzz', 'libfuzzer_main.cc');
  const inputs = [`-DFUZZ_TARGET=${name}`, '-Inative/test', main, join(objects, 'libblkmirror.a')];
  const link = [...FLAGS, ...own, ...inputs, '-luring', '-pthread', '-o', program];
  if (runQuietly('clang++-19', link) !== 0 || !existsSync(program)) return undefined;
  return program;
}
