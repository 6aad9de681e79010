// Names of resources and nodes, and the nearest known name to a wrong one.

import { nodeNameProblem, resourceNameProblem, tryResourceName } from '../../../src/config/names';
import { editDistance, nearestName } from '../../../src/config/nearest';

test.each(['r0', 'R-0.data_1', '0', '_x', 'nbd15', 'a'.repeat(63), 'All'])(
  '%s is a name',
  (name) => {
    expect(resourceNameProblem(name)).toBeUndefined();
    expect(tryResourceName(name)).toBe(name);
  },
);

test.each<[string, string]>([
  ['', 'the resource name is empty; use letters, digits and "_ . -"'],
  ['all', 'a resource cannot be called "all", which stands for all resources; choose another name'],
  ['.r0', '".r0" is not a resource name; begin it with a letter, a digit or "_"'],
  ['-r0', '"-r0" is not a resource name; begin it with a letter, a digit or "_"'],
  ['r/0', '"r/0" is not a resource name; use only letters, digits and "_ . -"'],
  ['ré', '"ré" is not a resource name; use only letters, digits and "_ . -"'],
  ['a'.repeat(64), `the resource name "${'a'.repeat(64)}" is too long; use at most 63 characters`],
])('%p is no name', (name, problem) => {
  expect(resourceNameProblem(name)).toBe(problem);
  expect(tryResourceName(name)).toBeUndefined();
});

test('a node may be called all', () => {
  expect(nodeNameProblem('all')).toBeUndefined();
  expect(nodeNameProblem('a:b')).toBe(
    '"a:b" is not a node name; use only letters, digits and "_ . -"',
  );
});

test.each<[string, string | undefined]>([
  ['timeout', 'timeout-ms'],
  ['timeout_ms', 'timeout-ms'],
  ['timout-ms', 'timeout-ms'],
  ['TIMEOUT-MS', 'timeout-ms'],
  ['sndbuf-size', 'sndbuf-bytes'],
  ['rcvbuf', 'rcvbuf-bytes'],
  ['x', undefined],
  ['colour', undefined],
  ['ping-int', undefined],
])('%s is nearest to %s', (wrong, known) => {
  expect(nearestName(wrong, ['timeout-ms', 'sndbuf-bytes', 'rcvbuf-bytes'])).toBe(known);
});

test('a swap of neighbours is one edit', () => {
  expect(editDistance('dsik', 'disk')).toBe(1);
  expect(editDistance('', 'abc')).toBe(3);
  expect(editDistance('kitten', 'sitting')).toBe(3);
});
