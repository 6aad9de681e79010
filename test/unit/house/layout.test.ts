// The house checks the size and tidiness of every source file (STYLE.md, rules 2, 17 and 18).

import { sourceFiles } from './tree';
import type { SourceFile } from './tree';

const MAX_COLUMNS = 100;
const MAX_HEADER_LINES = 15;
const typescript = sourceFiles(/^(src|test)\/.*\.ts$/);
const cpp = sourceFiles(/^native\/.*\.(cc|h)$/);
const scripts = sourceFiles(/^(scripts|bin)\/.*\.(mjs|cjs|js|sh)$/);
const all = [...typescript, ...cpp, ...scripts];

function offenders(files: readonly SourceFile[], wrong: (file: SourceFile) => boolean): string[] {
  return files.filter(wrong).map((file) => `${file.path} (${String(file.lines.length)} lines)`);
}

function linesMatching(files: readonly SourceFile[], wrong: (line: string) => boolean): string[] {
  return files.flatMap((file) =>
    file.lines.flatMap((line, index) =>
      wrong(line) ? [`${file.path}:${String(index + 1)}: ${line.trim().slice(0, 80)}`] : [],
    ),
  );
}

/** The lines of the comment a file begins with, a `#!` line left out. */
function headerLines(file: SourceFile): number {
  const lines = file.lines[0]?.startsWith('#!') === true ? file.lines.slice(1) : file.lines;
  const first = lines[0] ?? '';
  if (first.startsWith('/*')) return lines.findIndex((line) => line.includes('*/')) + 1;
  const end = lines.findIndex((line) => !/^(\/\/|#)/.test(line));
  return end < 0 ? lines.length : end;
}

test('TypeScript files have at most 400 lines', () => {
  expect(offenders(typescript, (file) => file.lines.length > 400)).toEqual([]);
});

test('C++ files have at most 700 lines', () => {
  expect(offenders(cpp, (file) => file.lines.length > 700)).toEqual([]);
});

test('lines have at most 100 columns', () => {
  expect(linesMatching(all, (line) => Array.from(line).length > MAX_COLUMNS)).toEqual([]);
});

test('every source file begins with a comment of at most 15 lines', () => {
  const wrong = (file: SourceFile): boolean => {
    const count = headerLines(file);
    return count === 0 || count > MAX_HEADER_LINES;
  };
  expect(offenders(all, wrong)).toEqual([]);
});

test('nothing is left to do in comments', () => {
  const marker = new RegExp(['\\bTO', 'DO\\b|\\bFIX', 'ME\\b|\\bXX', 'X\\b'].join(''));
  expect(linesMatching(all, (line) => marker.test(line))).toEqual([]);
});

test('nothing names the machine it was written on', () => {
  const path = new RegExp(['/work', '/(main|shared)|/ro', 'ot/|/home/', '[a-z]'].join(''));
  const documents = sourceFiles(/\.(md|json|xml|sh|yml|conf|service)$/).filter(
    (file) => file.path !== 'package-lock.json',
  );
  expect(linesMatching([...all, ...documents], (line) => path.test(line))).toEqual([]);
});
