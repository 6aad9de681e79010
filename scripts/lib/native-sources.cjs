// Prints C++ sources, one for each line, relative to native/. Read by binding.gyp.
//   core: what both addons are made of        addon: the addon's own entry point
//   sim:  the simulated world, of the test-only addon
'use strict';

const { readdirSync } = require('node:fs');
const { join } = require('node:path');

const native = join(__dirname, '..', '..', 'native');
const SIM_FOLDERS = ['sim', 'simbind'];
// native/helper is a program of its own.
const NEITHER = ['test', 'build', 'helper', ...SIM_FOLDERS];

function sourcesIn(folder, wanted) {
  return readdirSync(join(native, folder))
    .filter((file) => file.endsWith('.cc') && wanted(file))
    .map((file) => `${folder}/${file}`);
}

function isSimulated(file) {
  return file.startsWith('sim_');
}

function sourcesOf(part) {
  if (part === 'addon') return ['addon.cc'];
  if (part === 'sim') {
    const world = sourcesIn('io', isSimulated);
    return ['sim_addon.cc', ...world, ...SIM_FOLDERS.flatMap((one) => sourcesIn(one, () => true))];
  }
  const folders = readdirSync(native, { withFileTypes: true }).filter(
    (entry) => entry.isDirectory() && !NEITHER.includes(entry.name),
  );
  return folders.flatMap((entry) =>
    sourcesIn(entry.name, (file) => entry.name !== 'io' || !isSimulated(file)),
  );
}

process.stdout.write(`${sourcesOf(process.argv[2]).sort().join('\n')}\n`);
