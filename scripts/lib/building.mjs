// Builds the addon and the TypeScript. Called by setup.mjs and build.mjs.
// Each output folder holds a stamp of the inputs it was built from.

import { existsSync, chmodSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  filesBelow,
  hashOf,
  npmBin,
  root,
  run,
  runQuietly,
  stampMatches,
  writeStamp,
} from './tools.mjs';

const ADDON = 'native/build/Release/blkmirror.node';
const HELPER = 'native/build/Release/blkmirror-handlers';
const SIM_ADDON = 'native/build/Release/blkmirror_sim.node';
const NATIVE_STAMP = 'native/build/.inputs';
const SIM_STAMP = 'native/build/.inputs-sim';
/** Of the simulated world, which only the test-only addon contains. */
const SIM_SOURCES = /^native\/(sim|simbind|sim_addon\.cc|io\/sim_)/;
const TS_STAMP = 'dist/.inputs';

/** The folder whose include/node holds the headers of this Node, or undefined: then fetch them. */
export function nodeHeadersFolder() {
  const prefix = dirname(dirname(process.execPath));
  return existsSync(join(prefix, 'include/node/node_api.h')) ? prefix : undefined;
}

function hashOfSources(wanted) {
  const sources = filesBelow(
    'native',
    (file) => /\.(cc|h|gyp)$/.test(file) && !/^native\/(build|test)\//.test(file) && wanted(file),
  );
  return hashOf([...sources, 'scripts/lib/native-sources.cjs'], process.version, process.arch);
}

export function nativeHash() {
  return hashOfSources((file) => !SIM_SOURCES.test(file));
}

function simHash() {
  return hashOfSources(() => true);
}

export function simIsFresh() {
  return existsSync(join(root, SIM_ADDON)) && stampMatches(SIM_STAMP, simHash());
}

export function nativeIsFresh() {
  const built = [ADDON, HELPER].every((path) => existsSync(join(root, path)));
  return built && stampMatches(NATIVE_STAMP, nativeHash());
}

export function buildNative() {
  return buildTargets(['blkmirror', 'blkmirror-handlers'], NATIVE_STAMP, nativeHash());
}

/** The addon of the simulated world, which only tests load. */
export function buildSim() {
  return buildTargets(['blkmirror_sim'], SIM_STAMP, simHash());
}

function buildTargets(targets, stamp, hash) {
  const headers = nodeHeadersFolder();
  const args = ['-C', 'native', '-j', '2', '--loglevel=error'];
  if (headers !== undefined) args.push(`--nodedir=${headers}`);
  // Two builds at once would write the same objects: the second waits.
  const nodeGyp = [npmBin('node-gyp'), 'configure', 'build', ...args, ...targets];
  const status = runQuietly('flock', ['native/binding.gyp', ...nodeGyp]);
  if (status === 0) writeStamp(stamp, hash);
  return status;
}

export function typescriptHash() {
  const sources = filesBelow('src', (file) => file.endsWith('.ts'));
  return hashOf([...sources, 'tsconfig.json', 'tsconfig.build.json', 'package-lock.json']);
}

export function typescriptIsFresh() {
  return stampMatches(TS_STAMP, typescriptHash());
}

export function buildTypescript() {
  const hash = typescriptHash();
  if (filesBelow('src', (file) => file.endsWith('.ts')).length === 0) return 0;
  rmSync(join(root, TS_STAMP), { force: true });
  const status = run(npmBin('tsc'), ['-p', 'tsconfig.build.json']);
  if (status === 0) {
    removeOrphans();
    writeStamp(TS_STAMP, hash);
  }
  return status;
}

/** Removes from dist/ what was built from a source that is no longer there. */
function removeOrphans() {
  for (const built of filesBelow('dist', (file) => /\.js(\.map)?$/.test(file))) {
    const source = built.replace(/^dist/, 'src').replace(/\.js(\.map)?$/, '.ts');
    if (!existsSync(join(root, source))) rmSync(join(root, built));
  }
}

export function makeProgramsRunnable() {
  for (const program of ['bin/blkmirrord.js', 'bin/blkmirror.js']) {
    chmodSync(join(root, program), 0o755);
  }
}
