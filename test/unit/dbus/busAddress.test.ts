// Bus addresses become what dbus-next can dial; what it cannot is refused in words.

import { resolveBusAddress } from '../../../src/dbus/busAddress';

function addresses(text: string, env: Record<string, string> = {}): readonly string[] | string {
  const result = resolveBusAddress(text, env);
  return result.ok ? result.addresses : result.problem;
}

test('system is the well-known socket, unless the environment says otherwise', () => {
  expect(addresses('system')).toEqual(['unix:socket=/var/run/dbus/system_bus_socket']);
  const env = { DBUS_SYSTEM_BUS_ADDRESS: 'unix:path=/x,guid=12' };
  expect(addresses('system', env)).toEqual(['unix:socket=/x']);
});

test('session is the environment, else the runtime directory, else nothing', () => {
  const both = { DBUS_SESSION_BUS_ADDRESS: 'unix:abstract=/tmp/a', XDG_RUNTIME_DIR: '/run/u' };
  expect(addresses('session', both)).toEqual(['unix:socket=\0/tmp/a']);
  expect(addresses('session', { XDG_RUNTIME_DIR: '/run/u' })).toEqual(['unix:socket=/run/u/bus']);
  expect(addresses('session')).toMatch(/DBUS_SESSION_BUS_ADDRESS is not set/);
});

test('escapes are undone and several addresses are kept in order', () => {
  expect(addresses('unix:path=/a%20b;tcp:host=h,port=12')).toEqual([
    'unix:socket=/a b',
    'tcp:host=h,port=12',
  ]);
});

test.each(['', 'nonsense', '/run/bus', 'unix:', 'unix:path=', 'unix:path=/a%3Bb', 'tcp:host=h'])(
  '%j is refused',
  (text) => {
    expect(addresses(text)).toMatch(/use system, session/);
  },
);
