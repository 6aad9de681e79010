// npm run lint, npm run format: eslint, prettier, clang-format and the type checker over the tree.
// `--fix` (npm run format) rewrites what can be rewritten. The checks are also run by test.mjs.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { filesBelow, npmBin, root, run } from './lib/tools.mjs';

const LINTED = ['src', 'test', 'scripts', 'bin'];

/** The checks by name: each a program and its arguments; `fix` says whether to repair. */
export function lintChecks(fix) {
  const cpp = filesBelow(
    'native',
    (file) => /\.(cc|h)$/.test(file) && !file.startsWith('native/build/'),
  );
  const folders = LINTED.filter((folder) => existsSync(join(root, folder)));
  return [
    { name: 'types', command: npmBin('tsc'), args: ['--noEmit'] },
    {
      name: 'eslint',
      command: npmBin('eslint'),
      args: [...(fix ? ['--fix'] : []), '--max-warnings=0', '--no-warn-ignored', ...folders],
    },
    {
      name: 'prettier',
      command: npmBin('prettier'),
      args: [fix ? '--write' : '--check', '--log-level=warn', '.'],
    },
    {
      name: 'clang-format',
      command: 'clang-format',
      args: [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...cpp],
    },
  ];
}

function main() {
  const checks = lintChecks(process.argv.includes('--fix'));
  for (const check of checks) {
    if (run(check.command, check.args) === 0) continue;
    process.stderr.write(`lint: ${check.name} failed\n`);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
