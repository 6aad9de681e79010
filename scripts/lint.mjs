// npm run lint, npm run format: eslint, prettier, clang-format and the type checker over the tree.
// `--fix` (npm run format) rewrites what can be rewritten; `-- PATH ...` limits both to some files
// and folders. The checks are also run by test.mjs.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { filesBelow, npmBin, root, run } from './lib/tools.mjs';

const LINTED = ['src', 'test', 'scripts', 'bin'];

/** The checks by name: each a program and its arguments; `fix` says whether to repair. */
export function lintChecks(fix, paths = []) {
  const within = (file) =>
    paths.length === 0 ||
    paths.some((path) => `${file}/`.startsWith(`${path.replace(/\/$/, '')}/`));
  const cpp = filesBelow(
    'native',
    (file) => /\.(cc|h)$/.test(file) && !file.startsWith('native/build/') && within(file),
  );
  const linted = paths.length > 0 ? paths.filter((path) => !path.startsWith('native')) : LINTED;
  const prettied = paths.length > 0 ? linted : ['.'];
  const checks = [
    { name: 'types', command: npmBin('tsc'), args: ['--noEmit'] },
    {
      name: 'eslint',
      command: npmBin('eslint'),
      args: [...(fix ? ['--fix'] : []), '--max-warnings=0', '--no-warn-ignored', ...there(linted)],
    },
    {
      name: 'prettier',
      command: npmBin('prettier'),
      args: [fix ? '--write' : '--check', '--log-level=warn', ...there(prettied)],
    },
    {
      name: 'clang-format',
      command: 'clang-format',
      args: [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...cpp],
    },
  ];
  return checks.filter(({ name }) => {
    if (name === 'types') return paths.length === 0;
    return name === 'clang-format' ? cpp.length > 0 : there(linted).length > 0;
  });
}

function there(paths) {
  return paths.filter((path) => existsSync(join(root, path)));
}

function main() {
  const fix = process.argv.includes('--fix');
  const paths = process.argv.slice(2).filter((argument) => argument !== '--fix');
  for (const check of lintChecks(fix, paths)) {
    if (run(check.command, check.args) === 0) continue;
    process.stderr.write(`lint: ${check.name} failed\n`);
    process.exitCode = 1;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
