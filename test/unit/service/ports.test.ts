// Listening ports are shared, and what comes in finds its resource or is refused in words.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorError } from '../../../src/model/errors';
import type { Hello } from '../../../src/resource/hello';
import { formatHello } from '../../../src/resource/hello';
import { ServiceWorld } from '../../support/serviceWorld';
import { PLAIN } from '../../support/identities';

let world: ServiceWorld;

beforeEach(() => {
  world = new ServiceWorld();
});

afterEach(async () => {
  await world.close();
});

function hello(resource: string): string {
  const fields: Hello = {
    versionMin: 1,
    versionMax: 1,
    features: [],
    resource,
    node: 'beta',
    peer: 'alpha',
    bootNonce: '00000000000000aa',
    attempt: 1,
    protocol: 'C',
    nodes: 2,
    identity: PLAIN,
  };
  return formatHello(fields);
}

test('one port serves any number of resources and closes with the last', async () => {
  for (const name of ['r0', 'r1']) world.configure(name);
  await Promise.all([world.service.up('r0'), world.service.up('r1')]);
  expect(world.ports.listens).toBe(1);
  world.ports.connect('127.0.0.1', 7788, hello('r1'));
  expect(world.device('r0').accepted).toHaveLength(0);
  expect(world.device('r1').accepted).toHaveLength(1);
  await world.service.down('r0');
  expect(world.ports.open.size).toBe(1);
  await world.service.down('r1');
  await Promise.resolve();
  expect(world.ports.open.size).toBe(0);
});

test('an unknown resource and garbage are refused in words', async () => {
  world.configure('r0');
  await world.service.up('r0');
  world.ports.connect('127.0.0.1', 7788, hello('r9'));
  world.ports.connect('127.0.0.1', 7788, 'garbage');
  world.ports.connect('127.0.0.1', 7788, '{}');
  const refused = world.ports.refused.map((text) => JSON.parse(text) as { message: string });
  expect(refused[0]).toMatchObject({ code: 'NotFound', message: 'resource "r9" is not up here' });
  expect(refused).toHaveLength(3);
  expect(world.device('r0').accepted).toEqual([]);
});

test('an address that is taken fails that resource only, and can be tried again', async () => {
  for (const name of ['r0', 'r1']) world.configure(name, name === 'r0' ? 7788 : 7799);
  await world.service.up('r0');
  world.ports.nextError = new MirrorError('DeviceInUse', 'another program listens there');
  await expect(world.service.up('r1')).rejects.toMatchObject({
    code: 'DeviceInUse',
    message: 'cannot listen on 127.0.0.1:7799: another program listens there',
  });
  await world.service.up('r1');
  expect(world.service.devices()).toHaveLength(2);
});

test('a host name as the address is resolved', async () => {
  world.configure('r0');
  const file = join(world.folder, 'resources.d/r0.conf');
  const text = readFileSync(file, 'utf8').replace('127.0.0.1:', 'localhost:');
  writeFileSync(file, text);
  await world.service.up('r0');
  expect([...world.ports.open.keys()][0]).toMatch(/^(127\.0\.0\.1|::1) 7788$/);
});
