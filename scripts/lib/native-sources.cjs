// Prints the C++ sources of the addon, one for each line, relative to native/. Read by binding.gyp.
// Left out: native/test, native/helper (a program of its own), and io/sim_*.cc, the simulated
// world that only the native tests link.
'use strict';

const { readdirSync } = require('node:fs');
const { join } = require('node:path');

const native = join(__dirname, '..', '..', 'native');
const LEFT_OUT = ['test', 'build', 'helper'];
const sources = ['addon.cc'];
for (const entry of readdirSync(native, { withFileTypes: true })) {
  if (!entry.isDirectory() || LEFT_OUT.includes(entry.name)) continue;
  for (const file of readdirSync(join(native, entry.name))) {
    if (!file.endsWith('.cc')) continue;
    if (entry.name === 'io' && file.startsWith('sim_')) continue;
    sources.push(`${entry.name}/${file}`);
  }
}
process.stdout.write(`${sources.sort().join('\n')}\n`);
