// The file that `setup` writes, the hosts it takes, and what it leaves alone.

import { mkdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { getNode } from '../../../src/config/across';
import { getResource } from '../../../src/config/load';
import { MirrorError } from '../../../src/model/errors';
import { resourceArgumentProblem, resourceFromArgument } from '../../../src/offline/configured';
import { checkSetupDisk, writeSetupFile } from '../../../src/offline/setupFile';
import { Folder, GOOD } from '../config/folder';
import { FakePlane, metadataOf } from './fakePlane';

let folder: Folder;

beforeEach(() => {
  folder = new Folder();
});

afterEach(() => folder.remove());

const REQUEST = { resource: 'nbd0', kernel: false };

function write(thisHost: string, peerHost: string, nodeName = 'alpha', disk = '/dev/sdb1'): string {
  const configDir = folder.path;
  return writeSetupFile({ ...REQUEST, configDir, disk, thisHost, peerHost, nodeName });
}

function refusal(action: () => unknown): string {
  try {
    action();
    return 'done';
  } catch (error) {
    const text = error instanceof MirrorError ? `${error.code}: ${error.message}` : String(error);
    return text.replaceAll(`${folder.path}/`, '');
  }
}

function nodes(): string[] {
  return getResource(folder.path, 'nbd0').nodes.map((node) => `${node.name} ${node.address}`);
}

test('the file is a configuration of two nodes on port 7788', () => {
  const file = write('alpha', 'beta');
  expect(file).toBe(join(folder.path, 'resources.d/nbd0.conf'));
  expect(readFileSync(file, 'utf8')).toBe(`; Written by: blkmirror setup /dev/nbd0 "/dev/sdb1" \
alpha beta
; setup may write this file anew; to keep changes of your own, remove these two lines.
[resource]
device = none
[node "alpha"]
address = alpha:7788
disk = "/dev/sdb1"
[node "beta"]
address = beta:7788
disk = "/dev/sdb1"
`);
  expect(statSync(file).mode & 0o777).toBe(0o644);
  const config = getResource(folder.path, 'nbd0');
  expect(config.device).toBe('none');
  expect(getNode(config, 'alpha').disk).toBe('/dev/sdb1');
});

test.each<[string, string, string, string[]]>([
  ['alpha:7001', 'beta:7002', 'alpha', ['alpha alpha:7001', 'beta beta:7002']],
  ['alpha', 'beta', 'alpha.example.org', ['alpha alpha:7788', 'beta beta:7788']],
  ['alpha.x', 'beta.x', 'alpha', ['alpha alpha.x:7788', 'beta beta.x:7788']],
  ['beta.x', 'alpha.x', 'beta', ['alpha alpha.x:7788', 'beta beta.x:7788']],
  ['alpha.x', 'beta.x', 'alpha.x', ['alpha.x alpha.x:7788', 'beta.x beta.x:7788']],
  ['alpha.x', 'alpha.y', 'alpha', ['alpha alpha.x:7788', 'alpha.y alpha.y:7788']],
  ['192.0.2.1', 'beta.x', 'alpha', ['alpha 192.0.2.1:7788', 'beta.x beta.x:7788']],
  ['192.0.2.1', 'beta', 'alpha', ['alpha 192.0.2.1:7788', 'beta beta:7788']],
  ['127.0.0.1:1', 'b=127.0.0.1:2', 'a', ['a 127.0.0.1:1', 'b 127.0.0.1:2']],
  ['[::1]', 'b=[::1]:2', 'a', ['a [::1]:7788', 'b [::1]:2']],
  ['127.0.0.1', '127.0.0.2', '127.0.0.1', ['127.0.0.1 127.0.0.1:7788', '127.0.0.2 127.0.0.2:7788']],
  [
    '127.0.0.1',
    '203.0.113.9',
    'alpha',
    ['127.0.0.1 127.0.0.1:7788', '203.0.113.9 203.0.113.9:7788'],
  ],
])('hosts %s and %s on %s', (thisHost, peerHost, nodeName, expected) => {
  write(thisHost, peerHost, nodeName);
  expect(nodes()).toEqual(expected);
});

test.each<[string, string, string]>([
  [
    'beta',
    'alpha',
    'InvalidArgs: this node is called alpha, not beta; give the hosts in the order \
THIS-HOST PEER-HOST, or write alpha=beta:7788',
  ],
  [
    'alpha',
    '192.0.2.2',
    "InvalidArgs: which node is 192.0.2.2? give the peer's host name, or write \
NAME=192.0.2.2",
  ],
  ['alpha', 'alpha', 'InvalidArgs: both hosts are called alpha; a mirror needs two'],
  [
    'alpha=h',
    'beta=h',
    'InvalidArgs: both hosts have the address h:7788; give each its own host or \
port',
  ],
  ['alpha:x', 'beta', 'InvalidArgs: "alpha:x": "x" is not a port; use a number from 1 to 65535'],
  ['alpha', '=beta', 'InvalidArgs: the node name is empty; use letters, digits and "_ . -"'],
])('hosts %s and %s are refused', (thisHost, peerHost, message) => {
  expect(refusal(() => write(thisHost, peerHost))).toBe(message);
});

test('a node named by an address of this machine is its own', () => {
  write('127.0.0.1', '203.0.113.9');
  expect(getNode(getResource(folder.path, 'nbd0'), 'alpha').name).toBe('127.0.0.1');
});

test('the same again is fine, a change of its own too', () => {
  write('alpha', 'beta');
  write('alpha', 'beta');
  write('alpha', 'beta:7799');
  expect(nodes()).toEqual(['alpha alpha:7788', 'beta beta:7799']);
});

test('a file written by somebody else is left alone', () => {
  folder.writeResource('nbd0', '[resource]\n');
  expect(refusal(() => write('alpha', 'beta'))).toBe(
    'DeviceInUse: resources.d/nbd0.conf is there already and was not written by setup; change ' +
      'that file, or remove it first',
  );
});

test('a path with every odd character comes back as it was', () => {
  const disk = '/srv/a;b#c "d" \\e é';
  write('alpha', 'beta', 'alpha', disk);
  expect(getNode(getResource(folder.path, 'nbd0'), 'alpha').disk).toBe(disk);
});

test('a disk without metadata is refused with the command to run', async () => {
  const plane = new FakePlane();
  const disk = folder.write('disk', Buffer.alloc(4096));
  await expect(checkSetupDisk(disk, 'blkmirror create-md nbd0', plane.asPlane())).rejects.toThrow(
    `${disk} has no blkmirror metadata yet; run: blkmirror create-md nbd0 and then this command ` +
      'again',
  );
  plane.present.set(disk, metadataOf('nbd0', 'alpha'));
  await checkSetupDisk(disk, 'blkmirror create-md nbd0', plane.asPlane());
});

test('where the kernel has nbd, the file names the kernel device', () => {
  const configDir = folder.path;
  const hosts = { thisHost: 'alpha', peerHost: 'beta', nodeName: 'alpha' };
  writeSetupFile({ ...REQUEST, ...hosts, configDir, disk: '/dev/sdb1', kernel: true });
  expect(getResource(folder.path, 'nbd0').device).toBe('/dev/nbd0');
});

test('a kernel device stands for the resource that is Primary there, or is to be', () => {
  const links = join(folder.path, 'links');
  mkdirSync(links);
  symlinkSync('../nbd4', join(links, 'r0'));
  folder.writeResource('r1', GOOD.replace('device = none', 'device = /dev/nbd7'));
  const nameOf = (text: string): string => resourceFromArgument(text, folder.path, links);
  expect(['4', '7', '8'].map((index) => nameOf(`/dev/nbd${index}`))).toEqual(['r0', 'r1', 'nbd8']);
});

test.each<[string, string]>([
  ['r0', 'r0'],
  ['/dev/nbd12', 'nbd12'],
  ['/dev/blkmirror/r0', 'r0'],
])('%s names the resource %s', (argument, resource) => {
  const named = resourceFromArgument(argument, folder.path, join(folder.path, 'links'));
  expect(named).toBe(resource);
  expect(resourceArgumentProblem(named)).toBeUndefined();
});

test.each(['/dev/sda', '/dev/nbd', '/dev/nbd0/x', 'all', ''])('%p names none', (argument) => {
  expect(resourceArgumentProblem(argument)).toBeDefined();
});
