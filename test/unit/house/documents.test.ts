// The house checks its documents: the commands they name exist, and so do the paths they link to.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root, sourceFiles } from './tree';

const documents = sourceFiles(/\.md$/);
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  scripts: Record<string, string>;
  bin: Record<string, string>;
};

test('every `npm run` command in the documents exists', () => {
  const unknown = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/npm run ([a-z:]+)/g)]
      .filter(([, name = '']) => !(name in manifest.scripts))
      .map(([command]) => `${path}: ${command}`),
  );
  expect(unknown).toEqual([]);
});

test('every relative link in the documents leads somewhere', () => {
  const broken = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/\]\((?!https?:|#)([^)#\s]+)/g)]
      .filter(([, target = '']) => !existsSync(join(root, dirname(path), target)))
      .map(([, target = '']) => `${path}: ${target}`),
  );
  expect(broken).toEqual([]);
});

test.each(Object.entries(manifest.bin))('the program %s is there', (_name, path) => {
  expect(existsSync(join(root, path))).toBe(true);
});

test('every test that HACKING.md names for a scenario is in the file it names', () => {
  const hacking = readFileSync(join(root, 'HACKING.md'), 'utf8');
  const rows = [...hacking.matchAll(/^\| [^|]+ \| `([^`]+)` \| ([^|]+) \|$/gm)].filter(
    ([, path = '']) => /\.(ts|cc)$/.test(path) && !path.includes('*'),
  );
  expect(rows.length).toBeGreaterThan(40);
  const missing = rows.filter(([, path = '', name = '']) => {
    const file = join(root, path);
    return !existsSync(file) || !readFileSync(file, 'utf8').includes(name);
  });
  expect(missing.map(([row]) => row)).toEqual([]);
});
