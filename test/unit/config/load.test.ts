// The configuration as a whole: what good files give, and the exact words for each bad one.

import { NO_POLICIES } from '../../../src/model/policies';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { getResource, listResources, loadAll, loadResource } from '../../../src/config/load';
import { formatProblem } from '../../../src/config/problems';
import type { ConfigProblem } from '../../../src/config/types';
import { MirrorError } from '../../../src/model/errors';
import { Folder, GOOD } from './folder';

let folder: Folder;

beforeEach(() => {
  folder = new Folder();
});

afterEach(() => folder.remove());

/** The problems of `r0.conf` without the folder's name. */
function problemsOf(content: string | Buffer): string[] {
  folder.writeResource('r0', content);
  return shown(loadResource(folder.path, 'r0').problems);
}

function shown(problems: readonly ConfigProblem[]): string[] {
  return problems.map((problem) => formatProblem(problem).replaceAll(`${folder.path}/`, ''));
}

test('a good file gives every option, defaults filled in', () => {
  folder.writeResource('r0', GOOD);
  expect(loadResource(folder.path, 'r0')).toEqual({
    missing: false,
    problems: [],
    config: {
      name: 'r0',
      file: join(folder.path, 'resources.d/r0.conf'),
      device: 'none',
      protocol: 'C',
      timeoutMs: 6000,
      sndbufBytes: 0,
      rcvbufBytes: 0,
      splitBrain: NO_POLICIES,
      alExtents: 0,
      onIoError: 'detach',
      diskTimeoutMs: 0,
      cMaxKibPerSecond: 0,
      cMinKibPerSecond: 250,
      fencing: 'dont-care',
      handlers: {},
      handlerTimeoutMs: 120_000,
      waitForPeersMs: 30_000,
      nodes: [
        {
          name: 'alpha',
          address: '192.0.2.1:7788',
          host: '192.0.2.1',
          port: 7788,
          disk: '/dev/vg0/r0',
          metaDisk: 'internal',
        },
        {
          name: 'beta',
          address: '192.0.2.2:7788',
          host: '192.0.2.2',
          port: 7788,
          disk: '/dev/vg0/r0',
          metaDisk: 'internal',
        },
      ],
    },
  });
});

test('the example of the documentation is right', () => {
  folder.writeResource(
    'r0',
    `[resource]
device = auto            ; auto (loads nbd where there is one) | none | /dev/nbdN
protocol = C
[net]
timeout-ms = 6000
sndbuf-bytes = 0         ; 0: the kernel's own tuning
rcvbuf-bytes = 0
[disk]
al-extents = 0           ; how many extents may be hot before cooling starts; 0: no limit
[node "alpha"]
address = 192.0.2.1:7788
disk = /dev/vg0/r0       ; a block device, a loop device or a plain file
meta-disk = internal     ; or a path
[node "beta"]
address = 192.0.2.2:7788
disk = /dev/vg0/r0
`,
  );
  expect(loadResource(folder.path, 'r0')).toMatchObject({
    problems: [],
    config: { device: 'auto', nodes: [{ disk: '/dev/vg0/r0', metaDisk: 'internal' }, {}] },
  });
});

test('blkmirror.conf gives defaults, the file of the resource wins', () => {
  folder.write('blkmirror.conf', '[net]\ntimeout-ms = 2000\nsndbuf-bytes = 65536\n[disk]\n');
  folder.writeResource('r0', `[net]\ntimeout-ms = 3000\n[disk]\nal-extents = 64\n${GOOD}`);
  const config = getResource(folder.path, 'r0');
  expect(config).toMatchObject({ timeoutMs: 3000, sndbufBytes: 65536, alExtents: 64 });
});

test.each([
  ['0', 0],
  ['250', 250],
  ['4096k', 4096],
  ['16M', 16_384],
  ['4G', 4_194_304],
])('c-max-rate = %s is %d KiB a second', (value, kib) => {
  folder.writeResource('r0', `[disk]\nc-max-rate = ${value}\nc-min-rate = 1\n${GOOD}`);
  const config = getResource(folder.path, 'r0');
  expect(config).toMatchObject({ cMaxKibPerSecond: kib, cMinKibPerSecond: 1 });
});

test('an empty blkmirror.conf is fine', () => {
  folder.write('blkmirror.conf', '');
  folder.writeResource('r0', GOOD);
  expect(loadResource(folder.path, 'r0').problems).toEqual([]);
});

test.each(['\r\n', '\r'])('lines may end in %j', (end) => {
  expect(problemsOf(GOOD.replaceAll('\n', end))).toEqual([]);
});

test('nodes are sorted by name', () => {
  folder.writeResource('r0', GOOD.replace('"alpha"', '"zulu"'));
  expect(getResource(folder.path, 'r0').nodes.map((node) => node.name)).toEqual(['beta', 'zulu']);
});

test('byte order mark, CRLF, comments, quotes, blanks and dotted names are read right', () => {
  const text = `\ufeff; a comment\r
# another\r
[resource] ; behind a header\r
  device=none   # behind a value\r
[ node "a.b.example" ]\r
address = [2001:DB8::1]:7788;x\r
disk = "/srv/a;b#c \\u00e9" ; quoted\r
meta-disk = '/srv/m"e\\ta'\r
[node "alpha.1"]\r
\taddress\t=\talpha.example:1\r
disk = /srv/with\\;semicolon\r
`.replace(';x', ' ;x');
  folder.writeResource('r0', text);
  expect(loadResource(folder.path, 'r0').problems).toEqual([]);
  expect(getResource(folder.path, 'r0').nodes).toEqual([
    {
      name: 'a.b.example',
      address: '[2001:DB8::1]:7788',
      host: '2001:DB8::1',
      port: 7788,
      disk: '/srv/a;b#c é',
      metaDisk: '/srv/m"e\\ta',
    },
    {
      name: 'alpha.1',
      address: 'alpha.example:1',
      host: 'alpha.example',
      port: 1,
      disk: '/srv/with;semicolon',
      metaDisk: 'internal',
    },
  ]);
});

test('32 nodes are allowed, 33 are not', () => {
  const nodes = (count: number): string =>
    Array.from(
      { length: count },
      (_, index) => `[node "n${index}"]\naddress = 192.0.2.1:${index + 1}\ndisk = /d\n`,
    ).join('');
  expect(problemsOf(nodes(32))).toEqual([]);
  expect(problemsOf(nodes(33))).toEqual([
    'resources.d/r0.conf:97: more than 32 nodes; remove [node "n32"]',
  ]);
});

test('all problems of a file are reported at once, by line', () => {
  const lines = problemsOf('x = 1\n[nod "a"]\n[net]\ntimeout = 6\n[node "a"]\ndisk = d\n');
  expect(lines.map((line) => line.split(':', 2)[1])).toEqual(['1', '2', '4', '5', '5', '6']);
});

test('a very wrong file does not give endless problems', () => {
  const lines = problemsOf('rubbish\n'.repeat(1000));
  expect(lines).toHaveLength(51);
  expect(lines.at(-1)).toBe('resources.d/r0.conf:50: 951 more problems from here on');
});

test('files that are no text', () => {
  expect(problemsOf(Buffer.from('[net]\n\0'))).toEqual([
    'resources.d/r0.conf:2: a zero byte: this is not a text file; write it as plain UTF-8 text',
  ]);
  expect(problemsOf(Buffer.from('\ufeff[net]\n', 'utf16le'))).toEqual([
    'resources.d/r0.conf:1: a zero byte: this is not a text file (UTF-16?); write it as plain \
UTF-8 text',
  ]);
  expect(problemsOf(Buffer.from([91, 110, 101, 116, 93, 10, 59, 0xe9, 10]))).toEqual([
    'resources.d/r0.conf:2: this is not UTF-8 text; save the file in UTF-8',
  ]);
  expect(problemsOf(Buffer.alloc(262_145, 10))).toEqual([
    'resources.d/r0.conf: the file is too large; at most 256 KiB are read',
  ]);
});

test('a missing file, a directory and a name that is none', () => {
  folder.writeResource('backup', GOOD);
  mkdirSync(join(folder.path, 'resources.d/r1.conf'));
  symlinkSync('r2.conf', join(folder.path, 'resources.d/r2.conf'));
  const load = (name: string): [boolean, string[]] => {
    const loaded = loadResource(folder.path, name);
    return [loaded.missing, shown(loaded.problems)];
  };
  expect(load('bakcup')).toEqual([
    true,
    [
      'resources.d/bakcup.conf: there is no resource bakcup: this file does not exist; ' +
        'did you mean backup?',
    ],
  ]);
  expect(load('zz')).toEqual([
    true,
    ['resources.d/zz.conf: there is no resource zz: this file does not exist; write it'],
  ]);
  expect(load('r1')).toEqual([
    false,
    ['resources.d/r1.conf: this is a directory; a configuration is a text file'],
  ]);
  expect(load('r2')).toEqual([
    false,
    ['resources.d/r2.conf: cannot be read: too many symbolic links'],
  ]);
  expect(load('../x')[0]).toBe(true);
});

test('getResource throws NotFound for a missing resource, InvalidArgs for a wrong one', () => {
  const codeFor = (name: string): string => {
    try {
      getResource(folder.path, name);
      return 'none';
    } catch (error) {
      return error instanceof MirrorError ? error.code : 'other';
    }
  };
  folder.writeResource('r0', '[node]');
  expect([codeFor('r0'), codeFor('r1')]).toEqual(['InvalidArgs', 'NotFound']);
});

test('a wrong file leaves the others alone; a wrong blkmirror.conf concerns all', () => {
  folder.writeResource('r0', GOOD);
  folder.writeResource('r1', `${GOOD}disc = /x\n`);
  folder.writeResource('r 2', GOOD);
  folder.write('resources.d/.r3.conf.swp', 'x');
  folder.write('resources.d/README', 'x');
  const first = loadAll(folder.path);
  expect(first.configs.map((config) => config.name)).toEqual(['r0']);
  expect(shown(first.problems)).toEqual([
    'resources.d/r 2.conf: "r 2" is not a resource name; use only letters, digits and "_ . -" (it \
is the file\'s name)',
    'resources.d/r1.conf:9: unknown option disc in [node]; did you mean disk?',
  ]);
  expect(listResources(folder.path).names).toEqual(['r0', 'r1']);
  folder.write('blkmirror.conf', '[node "alpha"]\ndisk = /d\n');
  const second = loadAll(folder.path);
  expect(second.configs).toEqual([]);
  expect(shown(second.problems)[0]).toBe(
    'blkmirror.conf:1: [node "alpha"] does not belong in blkmirror.conf; put it in \
resources.d/RESOURCE.conf',
  );
  expect(second.problems).toHaveLength(3);
});

test('an empty directory has no resources and no problems', () => {
  expect(loadAll(folder.path)).toEqual({ configs: [], problems: [] });
});

test('the policies for split brain', () => {
  const net =
    '[net]\nafter-sb-0pri = discard-node-beta\nafter-sb-1pri = consensus\n' +
    'after-sb-2pri = call-pri-lost-after-sb\nrr-conflict = violently\nalways-asbp = yes\n';
  folder.writeResource('r0', net + GOOD);
  expect(loadResource(folder.path, 'r0').config?.splitBrain).toEqual({
    zero: 'disconnect',
    discardNode: 'beta',
    one: 'consensus',
    two: 'call-pri-lost-after-sb',
    conflict: 'violently',
    always: true,
  });
});

test.each([
  ['after-sb-0pri = consensus', /there is no policy "consensus"/],
  ['after-sb-0pri = discard-node-gamma', /there is no node gamma; there are alpha and beta/],
  ['after-sb-1pri = discard-secundary', /did you mean discard-secondary\?/],
  ['after-sb-2pri = discard-secondary', /use disconnect, violently-as0p and call-pri-lost/],
  ['rr-conflict = retry-connect', /use disconnect, violently and call-pri-lost/],
  ['always-asbp = maybe', /use no and yes/],
])('%s is refused', (line, expected) => {
  expect(problemsOf(`[net]\n${line}\n${GOOD}`).join()).toMatch(expected);
});
