// The command line of the service: defaults, and wrong usage told in one line.

import { readArguments } from '../../../src/service/arguments';

function settings(...args: string[]): unknown {
  const result = readArguments(args, 'alpha.example');
  return result.kind === 'run' ? result.settings : result;
}

test('the defaults', () => {
  expect(settings()).toEqual({
    configDir: '/etc/blkmirror',
    runDir: '/run/blkmirror',
    stateDir: '/var/lib/blkmirror',
    bus: 'system',
    nodeName: 'alpha.example',
  });
});

test('with a run-dir of its own the state is kept in it', () => {
  expect(settings('--run-dir', '/tmp/a')).toMatchObject({ stateDir: '/tmp/a/state' });
  expect(settings('--run-dir=/tmp/a', '--state-dir=/tmp/b')).toMatchObject({ stateDir: '/tmp/b' });
});

test('paths become absolute', () => {
  expect(settings('--config-dir', 'conf')).toMatchObject({ configDir: `${process.cwd()}/conf` });
});

test('help and version', () => {
  expect(settings('--help')).toEqual({ kind: 'help' });
  expect(settings('--version')).toEqual({ kind: 'version' });
});

test.each([
  [['--nonsense']],
  [['start']],
  [['--run-dir']],
  [['--run-dir', '']],
  [['--node', 'a b']],
  [['--help=yes']],
])('%j is wrong usage, told in one line', (args) => {
  const result = readArguments(args, 'alpha');
  expect(result).toEqual({ kind: 'wrong', problem: expect.stringMatching(/^[^\n]+$/) as string });
});
