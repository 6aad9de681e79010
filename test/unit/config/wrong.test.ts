// Wrong lines in the file of a resource: the exact words for each.

import { loadResource } from '../../../src/config/load';
import { formatProblem } from '../../../src/config/problems';
import { Folder, GOOD } from './folder';

let folder: Folder;

beforeEach(() => {
  folder = new Folder();
});

afterEach(() => folder.remove());

function problemsOf(content: string): string[] {
  folder.writeResource('r0', content);
  const { problems } = loadResource(folder.path, 'r0');
  return problems.map((problem) =>
    formatProblem(problem).replace(`${folder.path}/resources.d/`, ''),
  );
}

/** GOOD with something in place of the line that begins with `key`, in the first node. */
function withLine(key: string, line: string): string {
  return GOOD.replace(new RegExp(`^${key} = .*$`, 'm'), line);
}

const AT1 = 'r0.conf:1: ';
const AT4 = 'r0.conf:4: ';
const AT5 = 'r0.conf:5: ';
const AT6 = 'r0.conf:6: ';
const AT9 = 'r0.conf:9: ';

test.each<[string, string, string]>([
  ['unknown section', `${GOOD}[nett]\n`, `${AT9}unknown section [nett]; did you mean [net]?`],
  [
    'unknown section, nothing near',
    `${GOOD}[florist]\n`,
    `${AT9}unknown section [florist]; there are [resource], [net], [disk], [startup], \
[handlers] and [node "NAME"]`,
  ],
  [
    'a section of DRBD',
    `${GOOD}[options]\n`,
    `${AT9}section [options] is not supported yet; remove it`,
  ],
  [
    'waiting for ever, which DRBD calls 0',
    `${GOOD}[startup]\nwfc-timeout = 0\n`,
    'r0.conf:10: wfc-timeout: "0" is not right; write a whole number from 1 to 3600 (seconds)',
  ],
  [
    'fencing without a handler',
    `${GOOD}[net]\nfencing = resource-only\n`,
    'r0.conf:10: fencing: resource-only needs a handler; add fence-peer = COMMAND in [handlers]',
  ],
  [
    'an unknown fencing policy',
    `${GOOD}[net]\nfencing = stonith\n`,
    'r0.conf:10: fencing: "stonith" is not right; use dont-care, resource-only, \
resource-and-stonith',
  ],
  [
    'duplicate section',
    `${GOOD}[resource]\n`,
    `${AT9}section [resource] again; it begins at line 1, put these options there`,
  ],
  [
    'duplicate node',
    `${GOOD}[node "beta"]\naddress = 192.0.2.3:1\ndisk = /d\n`,
    `${AT9}section [node "beta"] again; it begins at line 6, put these options there`,
  ],
  [
    'unknown option',
    `${GOOD}disc = /x\n`,
    `${AT9}unknown option disc in [node]; did you mean disk?`,
  ],
  [
    'unknown option, nothing near',
    `${GOOD}colour = red\n`,
    `${AT9}unknown option colour in [node]; there are address, disk and meta-disk`,
  ],
  [
    'option of another section',
    `${GOOD}timeout-ms = 6000\n`,
    `${AT9}timeout-ms does not belong in [node]; put it in [net]`,
  ],
  [
    'option of DRBD',
    GOOD.replace('[resource]', '[net]\nverify-alg = md5\n[resource]'),
    'r0.conf:2: option verify-alg is not supported yet; remove the line',
  ],
  [
    "DRBD's name of an option",
    GOOD.replace('[resource]', '[net]\nsndbuf-size = 1M\n[resource]'),
    'r0.conf:2: unknown option sndbuf-size in [net]; did you mean sndbuf-bytes?',
  ],
  [
    'duplicate option',
    `${GOOD}disk = /dev/other\n`,
    `${AT9}disk again; it is set at line 8, keep one of them`,
  ],
  [
    'option before any section',
    `protocol = C\n${GOOD}`,
    `${AT1}"protocol" stands before the first section; put it below [resource], [net], [disk], \
[handlers] or [node "NAME"]`,
  ],
  [
    'no value',
    withLine('disk', 'disk ='),
    `${AT5}disk has no value; write disk = VALUE, or remove \
the line`,
  ],
  [
    'only a comment for a value',
    withLine('disk', 'disk = ; /dev/sda'),
    `${AT5}disk has no value; write disk = VALUE, or remove the line`,
  ],
  [
    'empty quotes',
    withLine('disk', "disk = ''"),
    `${AT5}disk has no value; write disk = VALUE, or remove the line`,
  ],
  ['no equals sign', `${GOOD}nonsense\n`, `${AT9}"nonsense" has no value; write KEY = VALUE`],
  ['no name', `${GOOD}= 7\n`, `${AT9}"" is no name of an option; write KEY = VALUE`],
  ['an array', `${GOOD}disk[] = 7\n`, `${AT9}"disk[]" is no name of an option; write KEY = VALUE`],
  [
    'a prototype',
    `${GOOD}__proto__ = 7\n`,
    `${AT9}unknown option __proto__ in [node]; there are \
address, disk and meta-disk`,
  ],
  [
    'a semicolon inside',
    withLine('disk', 'disk = /dev/a;b'),
    `${AT5}disk: a ";" inside a value; put the value in double quotes, or a blank before a comment`,
  ],
  [
    'a hash inside',
    withLine('disk', 'disk = /dev/a#b'),
    `${AT5}disk: a "#" inside a value; put the value in double quotes, or a blank before a comment`,
  ],
  ['open quote', withLine('disk', 'disk = "/dev/a'), `${AT5}disk: the closing " is missing`],
  [
    'text behind quotes',
    withLine('disk', 'disk = "/dev/a" b'),
    `${AT5}disk: "b" behind the closing quote; remove it`,
  ],
  [
    'bad escape',
    withLine('disk', 'disk = "/dev/\\a"'),
    `${AT5}disk: a backslash in double quotes is written twice; or use single quotes`,
  ],
  [
    'control character',
    withLine('disk', 'disk = /dev/a\n\u0001'),
    `${AT6}a control character; remove \
it, or write the line anew`,
  ],
  [
    'escaped control character',
    withLine('disk', 'disk = "/dev/\\u0000"'),
    `${AT5}disk: the path \
holds a control character; write the path of a block device or file, from /`,
  ],
  ['open header', `${GOOD}[net\n`, `${AT9}"[net" has no "]" at its end`],
  [
    'text behind header',
    `${GOOD}[net] x\n`,
    `${AT9}"[net] x" is no section; write [resource], \
[net], [disk], [handlers] or [node "NAME"]`,
  ],
  ['unquoted node', `${GOOD}[node gamma]\n`, `${AT9}write [node "gamma"], with nothing behind it`],
  ['single-quoted node', `${GOOD}[node 'g']\n`, `${AT9}write [node "g"], with nothing behind it`],
  [
    'node without name',
    `${GOOD}[node]\naddress = 192.0.2.3:1\ndisk = /d\n`,
    `${AT9}which node? \
write [node "NAME"]`,
  ],
  [
    'bad node name',
    `${GOOD}[node "a b"]\naddress = 192.0.2.3:1\ndisk = /d\n`,
    `${AT9}"a b" is not \
a node name; use only letters, digits and "_ . -"`,
  ],
  ['a name for [net]', `${GOOD}[net "x"]\n`, `${AT9}[net] has no name; write [net]`],
  [
    'protocol a',
    GOOD.replace('device = none', 'protocol = a'),
    'r0.conf:2: protocol: \
there is no protocol "a"; use A, B or C',
  ],
  [
    'protocol D',
    GOOD.replace('device = none', 'protocol = D'),
    'r0.conf:2: protocol: \
there is no protocol "D"; use A, B or C',
  ],
  [
    'kernel device with a leading zero',
    GOOD.replace('none', '/dev/nbd00'),
    'r0.conf:2: device: \
"/dev/nbd00" is no kernel device; use auto, none or one such as /dev/nbd0',
  ],
  [
    'other device',
    GOOD.replace('none', '/dev/drbd0'),
    'r0.conf:2: device: \
"/dev/drbd0" is no kernel device; use auto, none or one such as /dev/nbd0',
  ],
  [
    'relative disk',
    withLine('disk', 'disk = r0.img'),
    `${AT5}disk: "r0.img" is no absolute path; \
write the path of a block device or file, from /`,
  ],
  [
    'a directory',
    withLine('disk', 'disk = /srv/'),
    `${AT5}disk: "/srv/" names a directory; write \
the path of a block device or file, from /`,
  ],
  [
    'true for a disk',
    withLine('disk', 'disk = true'),
    `${AT5}disk: "true" is no absolute path; \
write the path of a block device or file, from /`,
  ],
  [
    'relative meta-disk',
    withLine('disk', 'disk = /d\nmeta-disk = intern'),
    'r0.conf:6\
: meta-disk: "intern" is no absolute path; write internal, or the path of a block device or file, \
from /',
  ],
  [
    'meta-disk is the disk',
    withLine('disk', 'disk = /d\nmeta-disk = /d'),
    'r0.conf:6: \
this is the disk itself; write meta-disk = internal',
  ],
  [
    'no address',
    withLine('address', ''),
    'r0.conf:3: [node "alpha"] has no address; \
add address = 192.0.2.1:7788',
  ],
  [
    'no disk',
    withLine('disk', ''),
    'r0.conf:3: [node "alpha"] has no disk; add disk = \
/dev/vg0/r0',
  ],
  [
    'no port',
    withLine('address', 'address = 192.0.2.1'),
    `${AT4}address: "192.0.2.1" has no port; \
write 192.0.2.1:7788`,
  ],
  [
    'same address',
    withLine('address', 'address = 192.0.2.2:7788'),
    'r0.conf:7: node \
alpha has this address too; give each node its own host or port',
  ],
  [
    'no nodes',
    '[resource]\nprotocol = C\n',
    `${AT1}no [node "NAME"] section; a mirror needs two, \
write a [node "NAME"] section for each`,
  ],
  [
    'an empty file',
    '',
    `${AT1}no [node "NAME"] section; a mirror needs two, write a [node "NAME"] \
section for each`,
  ],
  [
    'one node',
    GOOD.replace(/\[node "beta"\][^]*/, ''),
    'r0.conf:3: only one node; a \
mirror needs two, write a [node "NAME"] section for each',
  ],
])('%s', (_title, content, message) => {
  expect(problemsOf(content)).toEqual([message]);
});

test.each(['6s', '0', '99', '600001', '-1', '6e3', '0x10', '6 000', '9999999999999999'])(
  'timeout-ms = %s is refused',
  (value) => {
    expect(problemsOf(`[net]\ntimeout-ms = ${value}\n${GOOD}`)).toEqual([
      `r0.conf:2: timeout-ms: "${value}" is not right; write a whole number from 100 \
to 600000 (milliseconds)`,
    ]);
  },
);

test('buffer sizes and al-extents have ranges', () => {
  const text = `[net]\nsndbuf-bytes = 64k\nrcvbuf-bytes = 1023\n[disk]\nal-extents = many\n${GOOD}`;
  expect(problemsOf(text)).toEqual([
    `r0.conf:2: sndbuf-bytes: "64k" is not right; write a whole number from 1024 to \
268435456 (bytes), or 0 for the kernel's own tuning`,
    `r0.conf:3: rcvbuf-bytes: "1023" is not right; write a whole number from 1024 to \
268435456 (bytes), or 0 for the kernel's own tuning`,
    `r0.conf:5: al-extents: "many" is not right; write a whole number from 0 to \
16777216 (extents, 0 for no limit)`,
  ]);
});

test.each(['249', '5G', '100 M', '1.5M', '16MB', '-1', '4194305', 'M', '128s'])(
  'c-max-rate = %s is refused',
  (value) => {
    expect(problemsOf(`[disk]\nc-max-rate = ${value}\n${GOOD}`)).toEqual([
      `r0.conf:2: c-max-rate: "${value}" is not right; write KiB a second from 250 to 4194304, \
also with K, M or G such as 100M, or 0 for no ceiling`,
    ]);
  },
);

test('c-min-rate has a range of its own', () => {
  expect(problemsOf(`[disk]\nc-min-rate = all\n${GOOD}`)).toEqual([
    `r0.conf:2: c-min-rate: "all" is not right; write KiB a second from 1 to 4194304, also with \
K, M or G such as 100M, or 0 to leave no room for applications`,
  ]);
});

test('the fixed rate of old DRBD is refused, naming what there is', () => {
  expect(problemsOf(`[disk]\nresync-rate = 100M\n${GOOD}`)).toEqual([
    'r0.conf:2: option resync-rate is not supported; write c-max-rate, the ceiling of a resync',
  ]);
});
