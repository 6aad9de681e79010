// npm run build [native|ts]: builds the addon and the TypeScript without asking what changed.

import { buildNative, buildTypescript, makeProgramsRunnable } from './lib/building.mjs';

const only = process.argv[2];
let status = 0;
if (only !== 'ts') status = buildNative();
if (status === 0 && only !== 'native') status = buildTypescript();
makeProgramsRunnable();
process.exitCode = status;
