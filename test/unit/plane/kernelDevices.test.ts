// Finding, connecting, claiming and ending kernel devices, over a driver and folders that stand for
// the kernel's.

import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NodeName, ResourceName } from '../../../src/model/states';
import type { KernelExport } from '../../../src/plane/kernelDevices';
import { FakeKernel } from '../../support/fakeKernel';

const R0 = 'r0' as ResourceName;
const ALPHA = 'alpha' as NodeName;

let kernel: FakeKernel;

beforeEach(() => {
  kernel = new FakeKernel();
});

afterEach(() => kernel.remove());

function exported(resource = 'r0', disk = '/dev/vg0/r0'): KernelExport {
  const sizeBytes = 1n << 30n;
  return { resource: resource as ResourceName, node: ALPHA, disk, sizeBytes, blockBytes: 4096 };
}

test('a free device is taken, known to udev before it is connected, and tuned', async () => {
  const devices = kernel.devices();
  expect(await devices.whyNone()).toBeUndefined();
  expect((await devices.connect(exported(), undefined)).index).toBe(0);
  expect(kernel.announcement(0)).toBe(
    'BLKMIRROR_RESOURCE=r0\nBLKMIRROR_ROLE=Primary\nBLKMIRROR_DISK=vg0/r0\n',
  );
  expect(kernel.links()).toEqual(['r0']);
  await devices.tree.tune(0);
  const queue = ['scheduler', 'io_timeout', 'max_sectors_kb'];
  expect(queue.map((name) => kernel.attribute(0, `queue/${name}`))).toEqual([
    'none',
    '1000',
    '1024',
  ]);
  expect(kernel.connected.get(0)?.spec).toEqual({
    index: 0,
    sizeBytes: 1n << 30n,
    blockBytes: 4096,
    deadWaitSeconds: 300,
    identifier: 'blkmirror:alpha:r0',
  });
});

test('its scheduler is chosen before it has requests, which a change would wait for', async () => {
  const connect = kernel.connect.bind(kernel);
  let before = '';
  jest.spyOn(kernel, 'connect').mockImplementation((spec) => {
    before = kernel.attribute(0, 'queue/scheduler');
    kernel.write(0, 'queue/scheduler', 'changed');
    return connect(spec);
  });
  await kernel.devices().connect(exported(), undefined);
  expect([before, kernel.attribute(0, 'queue/scheduler')]).toEqual(['none', 'changed']);
});

test('a backing file has no name by-disk', async () => {
  await kernel.devices().connect(exported('r0', '/srv/r0.img'), undefined);
  expect(kernel.announcement(0)).toBe('BLKMIRROR_RESOURCE=r0\nBLKMIRROR_ROLE=Primary\n');
});

test('devices of others are left alone; when all are taken the kernel makes one more', async () => {
  const devices = kernel.devices();
  await kernel.connect({ ...exported(), index: 0, deadWaitSeconds: 1, identifier: 'theirs' });
  expect(devices.anyWaits).toBe(false);
  expect((await devices.connect(exported('r1'), undefined)).index).toBe(1);
  expect((await devices.connect(exported('r2'), undefined)).index).toBe(2);
  expect(kernel.announcement(0)).toBe('');
  await expect(devices.connect(exported('r3'), 0)).rejects.toThrow('is connected already');
});

test('a kernel without nbd: it is loaded where that helps, once', async () => {
  const devices = kernel.devices();
  kernel.present = false;
  expect(await devices.whyNone()).toBe('the kernel has no nbd: run modprobe nbd');
  expect(await devices.whyNone()).toBeDefined();
  expect(kernel.calls).toEqual(['modprobe']);
  kernel.loadable = true;
  expect(await kernel.devices().whyNone()).toBeUndefined();
});

test('a later process finds its device and gives it a new connection', async () => {
  await kernel.devices().connect(exported(), 1);
  kernel.die();
  const devices = kernel.devices();
  expect(devices.anyWaits).toBe(true);
  expect(devices.tryFind('r1' as ResourceName, ALPHA)).toBeUndefined();
  expect(devices.tryFind(R0, 'beta' as NodeName)).toBeUndefined();
  expect(devices.tryFind(R0, ALPHA)).toBe(1);
  const fd = await devices.reconnect(exported(), 1, 0);
  expect(kernel.connected.get(1)).toMatchObject({ fd, dead: false });
});

test('a device that was given up and is still mounted is not found again', async () => {
  const devices = kernel.devices();
  await devices.connect(exported(), 0);
  kernel.keepOpen = true;
  await devices.disconnect(R0, 0);
  expect(kernel.attribute(0, 'backend')).toBe('blkmirror:alpha:r0');
  expect(kernel.devices().tryFind(R0, ALPHA)).toBeUndefined();
  expect((await kernel.devices().connect(exported(), undefined)).index).toBe(1);
});

test('a connection that is not dead yet is waited for, and not for ever', async () => {
  const devices = kernel.devices();
  await devices.connect(exported(), 0);
  await expect(devices.reconnect(exported(), 0, 50)).rejects.toThrow('it is not dead yet');
  setTimeout(() => kernel.die(), 30);
  expect(await devices.reconnect(exported(), 0, 5000)).toBeGreaterThan(0);
});

test('the end of a device: names and announcement are gone, and it is free again', async () => {
  const devices = kernel.devices();
  await devices.connect(exported(), 0);
  const claim = await devices.claim(R0, 0);
  await devices.disconnect(R0, 0);
  devices.release(claim);
  expect(kernel.links()).toEqual([]);
  expect(kernel.announcement(0)).toBe('');
  expect(kernel.attribute(0, 'uevent')).toBe('change');
  expect((await devices.connect(exported('r1'), undefined)).index).toBe(0);
});

test('without udev the link is made and removed here', async () => {
  kernel.udev = false;
  kernel.roots = { ...kernel.roots, run: join(kernel.folder, 'none') };
  const devices = kernel.devices();
  await devices.connect(exported(), 0);
  await devices.whenLinked(exported(), 0);
  expect(kernel.links()).toEqual(['r0']);
  await devices.disconnect(R0, 0);
  expect(kernel.links()).toEqual([]);
});

test('who uses it is named: mounts, swap, what lies on it', async () => {
  const devices = kernel.devices();
  await devices.connect(exported(), 0);
  kernel.mount('nbd0p1', '/my\\040data');
  mkdirSync(join(kernel.roots.sys, 'block/nbd0/nbd0p1/holders/dm-3'), { recursive: true });
  writeFileSync(join(kernel.roots.proc, 'swaps'), 'Filename Type\n/dev/nbd0 partition 1 0 -2\n');
  await expect(devices.claim(R0, 0)).rejects.toThrow(
    'r0 is in use: /dev/nbd0p1 is mounted on /my data, /dev/nbd0 is used as swap, ' +
      '/dev/dm-3 lies on /dev/nbd0p1; end that first',
  );
  expect(kernel.calls).not.toContain('claim nbd0');
});

test('a program that has it open is named; one that only looks is waited for', async () => {
  const devices = kernel.devices();
  await devices.connect(exported(), 0);
  kernel.openBy(42, 'dd', 'nbd0');
  await expect(devices.claim(R0, 0)).rejects.toThrow(
    'r0 is in use: dd (pid 42) has /dev/nbd0 open',
  );
  expect(existsSync(join(kernel.roots.proc, '42'))).toBe(true);
});
