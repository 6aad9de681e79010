// The simulator's mutants fit the tree: each text that one replaces is in its file exactly once,
// and the tests that are named with them are there.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './tree';

interface Mutant {
  readonly name: string;
  readonly rule: number;
  readonly file: string;
  readonly edits: readonly { readonly find: string; readonly replace: string }[];
  readonly test?: { readonly file: string; readonly name: string };
}

const text = (file: string): string => readFileSync(join(root, file), 'utf8');
const table = JSON.parse(text('test/sim/mutants.json')) as Record<
  'mutants' | 'elsewhere',
  readonly Mutant[]
>;
const all = [...table.mutants, ...table.elsewhere];

test('every mutant still breaks something', () => {
  const stale = all.filter(({ file, edits }) =>
    edits.some(({ find, replace }) => find === replace || text(file).split(find).length !== 2),
  );
  expect(all.length).toBeGreaterThan(60);
  expect(stale.map(({ name }) => name)).toEqual([]);
});

test('every test that is to catch a mutant is there', () => {
  // A name may be that of a group and a test, or made by a table: its beginning or its end is in
  // the file.
  const parts = (name: string): string[] => {
    const words = name.split(' ');
    return [words.slice(0, 2), words.slice(-2)].map((part) => part.join(' '));
  };
  const isThere = ({ file, name }: { file: string; name: string }): boolean =>
    existsSync(join(root, file)) && parts(name).some((part) => text(file).includes(part));
  const missing = all.filter(({ test: named }) => named !== undefined && !isThere(named));
  expect(missing.map(({ name }) => name)).toEqual([]);
  expect(table.elsewhere.filter((mutant) => mutant.test === undefined)).toEqual([]);
});

test('every rule of the design has a mutant, and each mutant a name of its own', () => {
  const rules = new Set(all.map(({ rule }) => rule));
  expect([...rules].sort((a, b) => a - b)).toEqual(Array.from({ length: 13 }, (_, at) => at + 1));
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
});
