// What is up, what comes up again, and that one wrong resource leaves the others alone.

import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorError } from '../../../src/model/errors';
import type { ResourceName } from '../../../src/model/states';
import { ServiceWorld } from '../../support/serviceWorld';

let world: ServiceWorld;

beforeEach(() => {
  world = new ServiceWorld();
});

afterEach(async () => {
  await world.close();
});

function names(): string[] {
  return world.service.devices().map((device) => device.name);
}

function upFile(): unknown {
  return JSON.parse(readFileSync(join(world.folder, 'up.json'), 'utf8'));
}

test('up opens the device, listens, and is there once', async () => {
  world.configure('r0');
  await expect(world.service.up('r0')).resolves.toBe('r0');
  const first = world.device('r0');
  await world.service.up('r0');
  expect(world.device('r0')).toBe(first);
  expect([...world.ports.open.keys()]).toEqual(['127.0.0.1 7788']);
  expect(upFile()).toEqual({ up: ['r0'] });
});

test('up of something that is not configured names the file', async () => {
  await expect(world.service.up('r0')).rejects.toMatchObject({ code: 'NotFound' });
  await expect(world.service.up('../x')).rejects.toMatchObject({ code: 'NotFound' });
});

test('up with a wrong file tells file and line', async () => {
  world.configure('r0', 7788, '[net]\ntimeout = 5');
  await expect(world.service.up('r0')).rejects.toMatchObject({
    code: 'InvalidArgs',
    message: expect.stringContaining('r0.conf:2: ') as string,
  });
  expect(names()).toEqual([]);
  expect(world.ports.listens).toBe(0);
});

test('up without a section for this node is refused', async () => {
  world.configure('r0');
  const file = join(world.folder, 'resources.d/r0.conf');
  writeFileSync(file, readFileSync(file, 'utf8').replace('"alpha"', '"gamma"'));
  await expect(world.service.up('r0')).rejects.toMatchObject({ code: 'InvalidArgs' });
});

test('two resources on one disk: the second is refused, the first goes on', async () => {
  world.configure('r0');
  world.configure('r1');
  const file = join(world.folder, 'resources.d/r1.conf');
  writeFileSync(file, readFileSync(file, 'utf8').replaceAll('r1.img', 'r0.img'));
  await world.service.up('r0');
  await expect(world.service.up('r1')).rejects.toMatchObject({ code: 'InvalidArgs' });
  expect(names()).toEqual(['r0']);
});

test('a device that cannot be opened gives its port back', async () => {
  world.configure('r0');
  world.openErrors.set('r0', new MirrorError('NotAttached', 'no metadata'));
  await expect(world.service.up('r0')).rejects.toMatchObject({ code: 'NotAttached' });
  await Promise.resolve();
  expect(world.ports.open.size).toBe(0);
});

test('down takes it off the list, and succeeds when it is not up', async () => {
  world.configure('r0');
  await world.service.up('r0');
  await world.service.down('r0');
  expect(world.device('r0').calls).toEqual(['down']);
  expect(names()).toEqual([]);
  expect(upFile()).toEqual({ up: [] });
  await world.service.down('r0');
  await expect(world.service.down('r9')).rejects.toMatchObject({ code: 'NotFound' });
});

test('down that is refused leaves everything as it is', async () => {
  world.configure('r0');
  await world.service.up('r0');
  world.device('r0').nextError = new MirrorError('DeviceInUse', 'a client is attached');
  await expect(world.service.down('r0')).rejects.toMatchObject({ code: 'DeviceInUse' });
  expect(names()).toEqual(['r0']);
  expect(upFile()).toEqual({ up: ['r0'] });
});

test('a device that could not end cleanly is gone all the same, and comes up anew', async () => {
  world.configure('r0');
  await world.service.up('r0');
  const first = world.device('r0');
  first.isOver = true;
  first.nextError = new MirrorError('Failed', 'the disk is gone');
  await expect(world.service.down('r0')).rejects.toMatchObject({ code: 'Failed' });
  expect(names()).toEqual([]);
  expect(upFile()).toEqual({ up: [] });
  await world.service.down('r0');
  await world.service.up('r0');
  expect(world.device('r0')).not.toBe(first);
});

test('after a restart what was up is up again; what fails is told and kept', async () => {
  for (const name of ['r0', 'r1', 'r2']) world.configure(name);
  for (const name of ['r0', 'r1', 'r2']) await world.service.up(name);
  await world.service.down('r2');
  await world.service.close();
  expect(world.device('r0').calls).toEqual(['close']);
  world.restart();
  world.openErrors.set('r0', new MirrorError('NotAttached', 'the disk is gone'));
  await world.service.restore();
  expect(names()).toEqual(['r1']);
  expect(world.logged.join('')).toContain('the disk is gone');
  expect(upFile()).toEqual({ up: ['r0', 'r1'] });
  await world.service.down('r0');
  expect(upFile()).toEqual({ up: ['r1'] });
});

test('a list that is damaged counts as empty, and is told', async () => {
  await world.service.close();
  writeFileSync(join(world.folder, 'up.json'), '{"up":["r0", 5');
  world.restart();
  await world.service.restore();
  expect(names()).toEqual([]);
  expect(world.logged.join('')).toContain('up.json');
});

test('reload reconfigures what changed and nothing else', async () => {
  world.configure('r0');
  world.configure('r1');
  await world.service.up('r0');
  await world.service.up('r1');
  world.configure('r1', 7788, '[net]\ntimeout-ms = 3000');
  await world.service.reload();
  expect(world.device('r0').calls).toEqual([]);
  expect(world.device('r1').calls).toEqual(['reconfigure']);
  expect(world.device('r1').config.timeoutMs).toBe(3000);
  await world.service.reload();
  expect(world.device('r1').calls).toEqual(['reconfigure']);
});

test('reload with a wrong and a missing file tells both and reloads the rest', async () => {
  for (const name of ['r0', 'r1', 'r2']) world.configure(name);
  for (const name of ['r0', 'r1', 'r2']) await world.service.up(name);
  world.configure('r0', 7788, '[net]\nnonsense = 1');
  rmSync(join(world.folder, 'resources.d/r1.conf'));
  world.configure('r2', 7788, '[net]\ntimeout-ms = 3000');
  const error: unknown = await world.service.reload().catch((reason: unknown) => reason);
  expect(error).toMatchObject({ code: 'InvalidArgs' });
  expect((error as Error).message).toMatch(/r0\.conf:2: [^]*r1\.conf/);
  expect(names()).toEqual(['r0', 'r1', 'r2']);
  expect(world.device('r0').calls).toEqual([]);
  expect(world.device('r2').calls).toEqual(['reconfigure']);
});

test('reload moves to another port only when the device takes it', async () => {
  world.configure('r0');
  await world.service.up('r0');
  world.configure('r0', 7799);
  world.device('r0').nextError = new MirrorError('InvalidArgs', 'not while up');
  await expect(world.service.reload()).rejects.toMatchObject({ code: 'InvalidArgs' });
  expect([...world.ports.open.keys()]).toEqual(['127.0.0.1 7788']);
  await world.service.reload();
  expect([...world.ports.open.keys()]).toEqual(['127.0.0.1 7799']);
});

test('changes of one turn are told together', async () => {
  world.configure('r0');
  await world.service.up('r0');
  world.service.changes.flush();
  const told: ResourceName[][] = [];
  world.service.changes.subscribe((changes) => told.push([...changes.resources]));
  world.device('r0').show({ role: 'Primary' });
  world.device('r0').show({ mayPromote: true });
  await new Promise((resolve) => setImmediate(resolve));
  expect(told).toEqual([['r0']]);
});

test('what is being brought up while the service ends is closed too', async () => {
  world.configure('r0');
  const up = world.service.up('r0');
  while (world.ports.listens === 0) await Promise.resolve();
  await world.service.close();
  await up;
  expect(world.device('r0').calls).toEqual(['close']);
  expect(names()).toEqual([]);
});

test('nothing comes up while the service ends', async () => {
  world.configure('r0');
  await world.service.close();
  await expect(world.service.up('r0')).rejects.toMatchObject({ code: 'InTransition' });
});
