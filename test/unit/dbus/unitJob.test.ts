// What systemd says of this service's own end, over calls that are answered as systemd does.

import { Variant } from 'dbus-next';
import { tryUnitJob } from '../../../src/dbus/unitJob';
import type { BusCall } from '../../../src/dbus/polkit';

const UNIT = '/org/freedesktop/systemd1/unit/blkmirrord_2eservice';
const JOB = '/org/freedesktop/systemd1/job/17';

function systemd(job: string, type: string): BusCall {
  return ({ path, member, body }) => {
    if (member === 'GetUnitByPID') return Promise.resolve(body[0] === 42 ? [UNIT] : []);
    const name = String(body[1]);
    if (path === UNIT && name === 'Job') return Promise.resolve([new Variant('(uo)', [17, job])]);
    if (path === JOB && name === 'JobType') return Promise.resolve([new Variant('s', type)]);
    return Promise.reject(new Error('no such object'));
  };
}

test.each(['restart', 'stop', 'try-restart'])('a %s is told', async (type) => {
  expect(await tryUnitJob(systemd(JOB, type), 42)).toBe(type);
});

test('no job, no unit, no systemd: nothing', async () => {
  expect(await tryUnitJob(systemd('/', 'restart'), 42)).toBeUndefined();
  expect(await tryUnitJob(systemd(JOB, 'restart'), 43)).toBeUndefined();
  expect(await tryUnitJob(() => Promise.reject(new Error('no bus')), 42)).toBeUndefined();
});
