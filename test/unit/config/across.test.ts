// What only several resources can tell: which node this is, and disks that are used twice.

import { symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkAcross, getNode, nodeFor } from '../../../src/config/across';
import { getResource } from '../../../src/config/load';
import { formatProblem } from '../../../src/config/problems';
import type { ResourceConfig } from '../../../src/config/types';
import { Folder } from './folder';

let folder: Folder;

beforeEach(() => {
  folder = new Folder();
});

afterEach(() => folder.remove());

function resource(
  name: string,
  disk: string,
  metaDisk = 'internal',
  node = 'alpha',
): ResourceConfig {
  folder.writeResource(
    name,
    `[node "${node}"]
address = 192.0.2.1:7788
disk = ${disk}
meta-disk = ${metaDisk}
[node "beta"]
address = 192.0.2.2:7788
disk = /dev/shared
`,
  );
  return getResource(folder.path, name);
}

function problems(configs: readonly ResourceConfig[], node = 'alpha'): string[] {
  return checkAcross(configs, node).map((problem) =>
    formatProblem(problem).replaceAll(`${folder.path}/`, ''),
  );
}

test('different disks are fine, and the same listening address too', () => {
  expect(problems([resource('r0', '/d0'), resource('r1', '/d1')])).toEqual([]);
});

test('one disk in two resources: the later one is wrong', () => {
  const [r0, r1] = [resource('r0', '/d0'), resource('r1', '/d0')];
  expect(problems([r0, r1])).toEqual([
    'resources.d/r1.conf:3: /d0 is the disk of resource r0 already; give each its own',
  ]);
  expect(problems([r1, r0])).toEqual([
    'resources.d/r0.conf:3: /d0 is the disk of resource r1 already; give each its own',
  ]);
});

test('one disk by two paths', () => {
  const file = join(folder.path, 'disk');
  const link = join(folder.path, 'link');
  writeFileSync(file, '');
  symlinkSync(file, link);
  expect(problems([resource('r0', file), resource('r1', link)])).toEqual([
    'resources.d/r1.conf:3: link (disk) is the disk of resource r0 already; give each its own',
  ]);
});

test('a disk that is the meta-disk of another, and a meta-disk used twice', () => {
  const configs = [
    resource('r0', '/d0', '/m0'),
    resource('r1', '/m0'),
    resource('r2', '/d2', '/m0'),
  ];
  expect(problems(configs)).toEqual([
    'resources.d/r1.conf:3: /m0 is the meta-disk of resource r0 already; give each its own',
    'resources.d/r2.conf:4: /m0 is the meta-disk of resource r0 already; give each its own',
  ]);
});

test('only the disks of this node count', () => {
  expect(problems([resource('r0', '/d0'), resource('r1', '/d1')], 'beta')).toEqual([
    'resources.d/r1.conf:7: /dev/shared is the disk of resource r0 already; give each its own',
  ]);
});

test('a node is found by its full name, else by the part before the first dot', () => {
  const short = resource('r0', '/d0');
  expect(nodeFor(short, 'alpha')?.name).toBe('alpha');
  expect(nodeFor(short, 'alpha.example.org')?.name).toBe('alpha');
  const full = resource('r1', '/d1', 'internal', 'alpha.example.org');
  expect(nodeFor(full, 'alpha.example.org')?.name).toBe('alpha.example.org');
  expect(nodeFor(full, 'alpha')).toBeUndefined();
});

test('a resource without this node', () => {
  const message =
    'resources.d/r0.conf:5: no [node "gamma"] section, and that is this node\'s name; there are \
alpha and beta, so add one or start with --node NAME';
  const config = resource('r0', '/d0');
  expect(problems([config], 'gamma')).toEqual([message]);
  expect(() => getNode(config, 'gamma')).toThrow(message);
});
