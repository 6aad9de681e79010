// The grammar of the command line: help, version, and everything that ends with 2.

import { Terminal } from './terminal';

const terminal = new Terminal([]);

test('the version', async () => {
  expect(await terminal.run('--version')).toEqual({ exit: 0, out: '9.9.9\n', err: '' });
});

test('help names every command, and examples', async () => {
  const { exit, out, err } = await terminal.run('--help');
  expect([exit, err]).toEqual([0, '']);
  const commands =
    'create-md up down promote demote attach detach resync connect disconnect status events setup';
  for (const command of commands.split(' ')) expect(out).toMatch(new RegExp(`^  ${command} `, 'm'));
  expect(out).toContain('Examples:\n  blkmirror create-md r0');
});

test.each([
  'create-md',
  'up',
  'down',
  'promote',
  'demote',
  'attach',
  'detach',
  'resync',
  'connect',
  'disconnect',
])('help of %s', async (command) => {
  const { exit, out, err } = await terminal.run(command, '--help');
  expect([exit, err]).toEqual([0, '']);
  expect(out).toContain(`Usage: blkmirror ${command} `);
  expect(out).toContain('Global Options:');
  expect(out).toMatch(/Examples:\n {2}blkmirror /);
  expect((await terminal.run('help', command)).out).toBe(out);
});

test.each<[string, string]>([
  ['', 'which command? see: blkmirror --help'],
  ['staus', "unknown command 'staus'; did you mean status?"],
  ['frobnicate', "unknown command 'frobnicate'; see: blkmirror --help"],
  ['status --jsn', "unknown option '--jsn'; did you mean --json?"],
  ['up', "missing required argument 'resource'; see: blkmirror --help"],
  [
    'up r0 r1',
    "too many arguments for 'up' (expected 1 argument but got 2); see: blkmirror --help",
  ],
  ['up r0 --force', "unknown option '--force'; see: blkmirror --help"],
  ['status --config-dir', "option '--config-dir <dir>' argument missing; see: blkmirror --help"],
  ['up a/b', '"a/b" is not a resource name; use only letters, digits and "_ . -"'],
  ['up /dev/sda', '"/dev/sda" is not a resource name; use only letters, digits and "_ . -"'],
  [
    'promote all',
    'a resource cannot be called "all", which stands for all resources; choose another name',
  ],
  ['create-md r0 --max-peers 0', '--max-peers "0": give a number from 1 to 31'],
  ['create-md r0 --max-peers many', '--max-peers "many": give a number from 1 to 31'],
  [
    'resync r0 --from a --to b',
    '--from and --to exclude each other: data goes one way; give one of them',
  ],
  [
    'status --bus here',
    '--bus: "here" is no bus address; use system, session, unix:path=PATH or unix:abstract=NAME',
  ],
  ['setup /dev/sda /d a b', '"/dev/sda" is no nbd device; give one such as /dev/nbd0'],
  ['setup /dev/nbd0 /d a', "missing required argument 'peer-host'; see: blkmirror --help"],
])('%j is wrong usage', async (line, reason) => {
  const args = line.split(' ').filter((word) => word !== '');
  expect(await terminal.run(...args)).toEqual({ exit: 2, out: '', err: `blkmirror: ${reason}\n` });
});
