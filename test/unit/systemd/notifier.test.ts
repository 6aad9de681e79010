// What the service manager is told, and when the watchdog is left to bark.

import pino from 'pino';
import {
  openNotifier,
  SdNotifier,
  SILENT_NOTIFIER,
  Watchdog,
  watchdogIntervalMs,
} from '../../../src/systemd/notifier';

const log = pino({ level: 'silent' });

test('without a manager nothing is sent', () => {
  expect(openNotifier({}, log)).toBe(SILENT_NOTIFIER);
});

test('states are sent as sd_notify wants them', () => {
  const sent: string[] = [];
  const notifier = new SdNotifier({ sendState: (state) => sent.push(state) });
  notifier.ready('2 resources\nup');
  notifier.status('fine');
  notifier.reloading();
  notifier.stopping();
  notifier.watchdog();
  expect(sent).toEqual([
    'READY=1\nSTATUS=2 resources up\n',
    'STATUS=fine\n',
    expect.stringMatching(/^RELOADING=1\nMONOTONIC_USEC=[0-9]+\n$/),
    'STOPPING=1\n',
    'WATCHDOG=1\n',
  ]);
});

test.each([
  [{}, undefined],
  [{ WATCHDOG_USEC: '0' }, undefined],
  [{ WATCHDOG_USEC: 'soon' }, undefined],
  [{ WATCHDOG_USEC: '30000000' }, 15_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '7' }, 15_000],
  [{ WATCHDOG_USEC: '30000000', WATCHDOG_PID: '8' }, undefined],
])('the interval for %j is %s', (env, interval) => {
  expect(watchdogIntervalMs(env, 7)).toBe(interval);
});

test('it pings only while every device moves', () => {
  let pings = 0;
  const beats = { r0: 1n, r1: 1n };
  const hearts = (): { name: 'r0' | 'r1'; heartbeat: () => bigint }[] =>
    (['r0', 'r1'] as const).map((name) => ({ name, heartbeat: () => beats[name] }));
  const watchdog = new Watchdog(
    {
      ...SILENT_NOTIFIER,
      watchdog: () => {
        pings++;
      },
    },
    hearts,
    log,
  );
  watchdog.check();
  beats.r0++;
  watchdog.check();
  expect(pings).toBe(1);
  beats.r0++;
  beats.r1++;
  watchdog.check();
  expect(pings).toBe(2);
});

test('without devices it pings', () => {
  let pings = 0;
  const notifier = {
    ...SILENT_NOTIFIER,
    watchdog: () => {
      pings++;
    },
  };
  const watchdog = new Watchdog(notifier, () => [], log);
  watchdog.check();
  watchdog.check();
  expect(pings).toBe(2);
});
