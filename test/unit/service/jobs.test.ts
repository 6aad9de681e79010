// Jobs follow resyncs, tell how they ended, and go after a minute.

import { MirrorError } from '../../../src/model/errors';
import { JOB_KEEP_MS, MAX_JOBS } from '../../../src/service/limits';
import type { FakeDevice } from '../../support/fakeDevice';
import { ServiceWorld } from '../../support/serviceWorld';

let world: ServiceWorld;
let device: FakeDevice;

beforeEach(async () => {
  world = new ServiceWorld();
  world.configure('r0');
  await world.service.up('r0');
  device = world.device('r0');
});

afterEach(async () => {
  jest.useRealTimers();
  await world.close();
});

function resync(): Promise<number> {
  return world.service.resync(device, { full: false });
}

async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

test('a job shows progress and when it will end', async () => {
  const id = await resync();
  device.fraction = 0.25;
  device.showPeer('beta', { outOfSyncBytes: 3000 });
  const status = world.service.jobs.tryStatus(id);
  expect(status).toMatchObject({ operation: 'resync', resource: 'r0', state: 'running' });
  expect(status).toMatchObject({ progress: 0.25, bytesPerSecond: 1000 });
  const leftMs = (status?.expectedEndMs ?? 0) - Date.now();
  expect(Math.abs(leftMs - 3000)).toBeLessThan(500);
});

test('it ends done, failed with the reason, or cancelled', async () => {
  const done = await resync();
  device.endResync();
  await settled();
  expect(world.service.jobs.tryStatus(done)).toMatchObject({ state: 'done', progress: 1 });
  const failed = await resync();
  device.endResync(new MirrorError('NotConnected', 'the connection was lost'));
  await settled();
  expect(world.service.jobs.tryStatus(failed)).toMatchObject({
    state: 'failed',
    message: 'the connection was lost',
    expectedEndMs: 0,
  });
  const cancelled = await resync();
  world.service.jobs.cancel(cancelled);
  await settled();
  expect(world.service.jobs.tryStatus(cancelled)).toMatchObject({ state: 'cancelled' });
  world.service.jobs.cancel(cancelled);
});

test('a second resync of the same peer joins the job that runs', async () => {
  const first = await resync();
  expect(await resync()).toBe(first);
  expect(world.service.jobs.ids()).toEqual([first]);
});

test('an ended job goes after a minute; then there is none to cancel', async () => {
  jest.useFakeTimers();
  const id = await resync();
  device.endResync();
  await settled();
  jest.advanceTimersByTime(JOB_KEEP_MS - 1);
  expect(world.service.jobs.ids()).toEqual([id]);
  jest.advanceTimersByTime(1);
  expect(world.service.jobs.ids()).toEqual([]);
  expect(() => world.service.jobs.cancel(id)).toThrow(MirrorError);
});

test('the oldest ended jobs make room for new ones', async () => {
  for (let count = 0; count <= MAX_JOBS; count++) {
    await resync();
    device.endResync();
    await settled();
  }
  expect(world.service.jobs.ids()).toHaveLength(MAX_JOBS);
  expect(world.service.jobs.tryStatus(1)).toBeUndefined();
});
