#!/usr/bin/env node
// Launcher of blkmirrord: the service.
// The program itself is built into dist/ by `npm run setup`.
'use strict';

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const program = join(__dirname, '../dist/main.js');
if (existsSync(program)) {
  require(program);
} else {
  process.stderr.write('blkmirrord: not built yet; run `npm run setup` first\n');
  process.exitCode = 1;
}
