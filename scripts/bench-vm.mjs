// npm run bench:vm -- [...]: blkmirror's kernel device, kernel DRBD and md raid1 over nbd in one
// guest, interleaved in one run. test/bench/guest has the rest; `--help` says what can be chosen.

import { createRequire } from 'node:module';
import { join } from 'node:path';
import { addPeers, guestFiles } from './lib/guestFiles.mjs';
import { guestImage } from './lib/guestImage.mjs';
import { root } from './lib/tools.mjs';

const require = createRequire(import.meta.url);
require('../test/sim/loader.cjs');
const { main } = require('../test/bench/guest/main.ts');

function prepare(say) {
  const content = guestFiles(join(root, 'build-vm', 'bench-files'));
  addPeers(content);
  return { folder: guestImage(say), content };
}

process.exitCode = await main(process.argv.slice(2), prepare);
