// The shell scripts of the package: POSIX, and nothing that shellcheck would say.

import { sourceFiles } from '../unit/house/tree';
import { repository, run } from '../support/systemProcess';

const scripts = sourceFiles(/^packaging\//).filter(
  ({ path, text }) => text.startsWith('#!/bin/sh') || path === 'packaging/shell/functions',
);

test.each(scripts.map(({ path }) => path))('%s', async (path) => {
  const file = `${repository}/${path}`;
  const lint = await run('shellcheck', ['--external-sources', '--shell=sh', file]);
  expect(lint).toEqual({ status: 0, stdout: '', stderr: '' });
  const posix = await run('checkbashisms', ['--force', '--posix', file]);
  // A file that is sourced has no interpreter of its own.
  expect(posix.stderr.replace(/^script .* interpreter line;\n.*\n/, '')).toBe('');
});

test('there are scripts', () => {
  expect(scripts.length).toBeGreaterThan(3);
});
