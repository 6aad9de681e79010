// Errors of the bus and the service in words that say what to do.

import { DBusError } from 'dbus-next';
import { prefixed } from '../../../src/cli/output';
import { choosePainter, colourPainter, plainPainter } from '../../../src/cli/style';
import { busAnswerError, noBus, noService, reasonOf, shellQuoted } from '../../../src/cli/words';
import { MirrorError } from '../../../src/model/errors';

const STANDARD = 'org.freedesktop.DBus.Error.';
const OURS = 'org.blkmirror.Mirror1.Error.';

test.each<[string, string, string, string]>([
  [`${OURS}PeerIsPrimary`, 'beta is Primary', 'PeerIsPrimary', 'beta is Primary'],
  [`${OURS}NotAuthorized`, 'user 7 may not', 'NotAuthorized', 'user 7 may not; run this as root'],
  [`${OURS}Newfangled`, 'what', 'Failed', 'what'],
  [
    `${STANDARD}ServiceUnknown`,
    'x',
    'NotConnected',
    'blkmirrord is not running on the system bus; start it with: systemctl start blkmirrord',
  ],
  [`${STANDARD}NoReply`, 'x', 'NotConnected', 'blkmirrord ended before it answered; see its log'],
  [
    `${STANDARD}AccessDenied`,
    'Rejected',
    'NotAuthorized',
    'the bus does not allow this: Rejected; run it as root',
  ],
  [`${STANDARD}UnknownObject`, 'no object', 'NotFound', 'no object'],
  [`${STANDARD}Whatever`, 'odd', 'Failed', 'odd'],
])('%s', (name, text, code, reason) => {
  const error = busAnswerError(new DBusError(name, text, ''), 'system');
  expect([error.code, reasonOf(error)]).toEqual([code, reason]);
});

test('no bus and no service say how to get one', () => {
  expect(noBus('system', 'connect ENOENT /run/bus').message).toBe(
    'cannot reach the system bus (/run/bus does not exist); start it with: systemctl start dbus, ' +
      'or name another bus with --bus',
  );
  expect(noBus('unix:path=/x', 'connect EACCES /x').message).toBe(
    'cannot reach the bus at unix:path=/x (permission denied for /x); check the address given ' +
      'with --bus',
  );
  expect(noService('session').message).toBe(
    'blkmirrord is not running on the session bus; start it with: blkmirrord --bus session',
  );
});

test('every line of a reason has the name of the program, and no control characters', () => {
  expect(prefixed('a:1: x\n\nb:2: y\x1b[2J\n')).toBe('blkmirror: a:1: x\nblkmirror: b:2: y?[2J\n');
  expect(reasonOf(new MirrorError('Failed', ''))).toBe('an operation failed');
});

test('words for the shell', () => {
  expect(shellQuoted('unix:path=/tmp/x')).toBe('unix:path=/tmp/x');
  expect(shellQuoted("it's here")).toBe("'it'\\''s here'");
  expect(shellQuoted('')).toBe("''");
});

test.each<[boolean, NodeJS.ProcessEnv, boolean]>([
  [true, {}, true],
  [false, {}, false],
  [true, { NO_COLOR: '1' }, false],
  [true, { NO_COLOR: '' }, true],
  [true, { TERM: 'dumb' }, false],
  [false, { FORCE_COLOR: '1' }, true],
  [false, { FORCE_COLOR: '0' }, false],
  [true, { NO_COLOR: '1', FORCE_COLOR: '1' }, false],
])('terminal %s with %j has colour: %s', (isTerminal, env, colour) => {
  expect(choosePainter(isTerminal, env)).toBe(colour ? colourPainter : plainPainter);
});
