// npm run build [native|ts|sim]: builds the addon and the TypeScript without asking what changed;
// `sim` the test-only addon of the simulated world alone.

import { buildNative, buildSim, buildTypescript, makeProgramsRunnable } from './lib/building.mjs';

const only = process.argv[2];
let status = 0;
if (only === 'sim') status = buildSim();
else if (only !== 'ts') status = buildNative();
if (status === 0 && (only === undefined || only === 'ts')) status = buildTypescript();
makeProgramsRunnable();
process.exitCode = status;
