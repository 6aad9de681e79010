// npm run chaos -- [--rounds N] [--seed S]: two real daemons under four writers, and faults by the
// seed until a copy is wrong or the rounds are over. test/chaos has the rest.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
require('../test/sim/loader.cjs');
const { main } = require('../test/chaos/main.ts');
process.exitCode = await main(process.argv.slice(2));
