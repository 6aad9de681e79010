#!/usr/bin/env node
// Launcher of blkmirror: the command line.
// The program itself is built into dist/ by `npm run setup`.
'use strict';

const { existsSync } = require('node:fs');
const { join } = require('node:path');

const program = join(__dirname, '../dist/cli/main.js');
if (existsSync(program)) {
  require(program);
} else {
  process.stderr.write('blkmirror: not built yet; run `npm run setup` first\n');
  process.exitCode = 1;
}
