// npm run test:vm [-- --full] [NAME ...]: tests in two real Debian guests, all or those whose file
// names contain a NAME; `--full` with all their rounds, and the longest tests too. Prints a line
// for each test and last the line `N passed, N failed`; one that is skipped has failed. Logs:
// build-vm/logs. `-- --session` keeps a pair running, `-- --on GUEST COMMANDS` (or --off, --reboot,
// --power-on, --put FILE) works in it; see HACKING.md. Runs after setup.mjs --for-vm.

import { existsSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { guestFiles } from './lib/guestFiles.mjs';
import { guestImage } from './lib/guestImage.mjs';
import { npmBin, root, run } from './lib/tools.mjs';

const require = createRequire(import.meta.url);
require('../test/sim/loader.cjs');

const FOLDER = join(root, 'build-vm');
const SESSION = join(FOLDER, 'session.sock');
const REPORT = join(FOLDER, 'report.json');
const REQUESTS = { on: 'run', off: 'off', 'power-on': 'on', reboot: 'reboot', put: 'put' };

function say(line) {
  process.stdout.write(`${line}\n`);
}

/** Run with `--full` only, or by name: a quarter of an hour each, and more. */
const LONG = ['pacemaker'];

/** Jest's exit status is not asked: its report says more. */
async function runTests(names, full) {
  rmSync(REPORT, { force: true });
  const config = join(root, 'test/vm/jest.config.cjs');
  // Of the file's name: the folder of the source tree may have any.
  const patterns = names.map((name) => `/test/vm/[^/]*${name}[^/]*$`);
  const left = full || names.length > 0 ? [] : LONG;
  const args = ['--config', config, '--json', `--outputFile=${REPORT}`, '--forceExit', ...patterns];
  args.push(...left.map((name) => `--testPathIgnorePatterns=/test/vm/${name}[^/]*$`));
  run(npmBin('jest'), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (!existsSync(REPORT)) return summary(0, 1);
  const results = JSON.parse(readFileSync(REPORT, 'utf8'));
  const broken = results.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  );
  for (const file of broken) say(`FAIL ${file.name}\n${file.message}`);
  const { numPassedTests: passed, numTotalTests: all } = results;
  if (passed < all || broken.length > 0) say(`logs: ${join(FOLDER, 'logs')}`);
  return summary(passed, all - passed + broken.length);
}

function summary(passed, failed) {
  say(`${passed} passed, ${failed} failed`);
  return failed === 0 && passed > 0 ? 0 : 1;
}

async function main(args) {
  const [option = '', guest = '', argument = ''] = args;
  const action = REQUESTS[option.replace(/^--/, '')];
  if (option.startsWith('--') && action !== undefined) {
    const { askSession } = require('../test/vm/support/session.ts');
    return askSession(SESSION, { guest, action, argument });
  }
  const names = args.filter((each) => !each.startsWith('--'));
  const full = args.includes('--full');
  const { withGuests } = require('../test/vm/support/main.ts');
  const wanted = {
    folder: guestImage(say),
    content: guestFiles(join(FOLDER, 'files')),
    logs: join(FOLDER, 'logs'),
    full,
    session: args.includes('--session') ? SESSION : undefined,
  };
  return withGuests(wanted, say, () => runTests(names, full));
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(`${error.message}\n0 passed, 1 failed`);
  process.exitCode = 1;
}
