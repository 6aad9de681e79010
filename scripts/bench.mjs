// npm run bench -- [--quick] ...: blkmirror and its peers, interleaved in one run, and what it is
// to reach beside them. test/bench has the rest; `--help` says what can be chosen.

import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { installPackages, missingPackages, NEEDED_TO_BENCH } from './lib/packages.mjs';
import { qemuStorageDaemon } from './lib/qemu.mjs';

const require = createRequire(import.meta.url);

function peers() {
  const missing = missingPackages(NEEDED_TO_BENCH);
  if (missing.length > 0 && !installPackages(missing)) process.exit(1);
  const qemu = qemuStorageDaemon();
  if (qemu === undefined) {
    process.stdout.write('qemu-storage-daemon 10 cannot be had: its contenders are left out\n');
  }
  const versions = [qemu, 'nbdkit', 'fio'].filter((one) => one !== undefined).map(versionOf);
  return { qemu, versions };
}

function versionOf(program) {
  const { stdout } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  return (stdout ?? program).split('\n')[0].replace(/ \(Debian.*/, '');
}

require('../test/sim/loader.cjs');
const { main } = require('../test/bench/main.ts');
process.exitCode = await main(process.argv.slice(2), peers);
