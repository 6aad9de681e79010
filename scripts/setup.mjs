// npm run setup [--for-tests | --for-vm]: makes a fresh clone runnable, and does nothing where it
// already is. In order: Debian packages, npm ci, addon, TypeScript, runnable programs. A step is
// left out when the stamp in its output matches its inputs. Plain Node: runs before any npm
// package is there.

import {
  buildNative,
  buildSim,
  buildTypescript,
  makeProgramsRunnable,
  nativeIsFresh,
  nodeHeadersFolder,
  simIsFresh,
  typescriptIsFresh,
} from './lib/building.mjs';
import {
  installPackages,
  missingPackages,
  NEEDED_FOR_GUESTS,
  NEEDED_TO_PACKAGE,
  NEEDED_TO_RUN,
  NEEDED_TO_TEST,
} from './lib/packages.mjs';
import { filesBelow, hashOf, runQuietly, stampMatches, writeStamp } from './lib/tools.mjs';

const NPM_STAMP = 'node_modules/.blkmirror-inputs';
const forTests = process.argv.includes('--for-tests');
const forGuests = process.argv.includes('--for-vm');

function debianPackages() {
  const wanted = [
    ...NEEDED_TO_RUN,
    ...(forTests ? NEEDED_TO_TEST : []),
    ...(forGuests ? [...NEEDED_TO_PACKAGE, ...NEEDED_FOR_GUESTS] : []),
  ];
  const missing = missingPackages(wanted);
  return missing.length === 0 || installPackages(missing);
}

function npmPackages() {
  const inputs = ['package.json', 'package-lock.json', ...filesBelow('scripts/usocket-stub')];
  const hash = hashOf(inputs, process.version, process.arch);
  if (stampMatches(NPM_STAMP, hash)) return true;
  say('Installing npm packages ...');
  const env = { ...process.env };
  const headers = nodeHeadersFolder();
  // sd-notify compiles against Node's headers; without this node-gyp would download them.
  if (headers !== undefined) env['npm_config_nodedir'] = headers;
  if (runQuietly('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error'], { env }) !== 0) {
    return false;
  }
  writeStamp(NPM_STAMP, hash);
  return true;
}

function addon() {
  if (nativeIsFresh()) return true;
  say('Building the addon ...');
  return buildNative() === 0;
}

function simulatedWorld() {
  if (!forTests || simIsFresh()) return true;
  say('Building the simulated world ...');
  return buildSim() === 0;
}

function typescript() {
  if (typescriptIsFresh()) return true;
  say('Building the TypeScript ...');
  return buildTypescript() === 0;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}

function setup() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < 20 || (major === 20 && minor < 19)) {
    say(`blkmirror is built with Node 20.19 or later; this is ${process.version}`);
    return false;
  }
  const steps = [
    ['the Debian packages could not be installed', debianPackages],
    ['npm ci failed', npmPackages],
    ['the addon did not build', addon],
    ['the simulated world did not build', simulatedWorld],
    ['the TypeScript did not build', typescript],
  ];
  for (const [failure, step] of steps) {
    if (step()) continue;
    say(`Setup is not complete: ${failure}.`);
    return false;
  }
  makeProgramsRunnable();
  return true;
}

if (!setup()) {
  // What runs the tests reads this line, also when there was nothing to run.
  if (forTests || forGuests) say('0 passed, 1 failed');
  process.exitCode = 1;
} else if (process.env['npm_lifecycle_event'] === 'setup') {
  say('blkmirror is ready. See it at work with `npm run demo`; README.md shows the first mirror.');
}
