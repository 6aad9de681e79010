// The service on a real bus, spoken to with busctl in the words of DESIGN.md, over fake devices.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { MirrorBus } from '../../src/dbus/mirrorBus';
import { MirrorError } from '../../src/model/errors';
import { BusClient } from '../support/busClient';
import { PrivateBus, until } from '../support/privateBus';
import type { Outcome } from '../support/privateBus';
import { ServiceWorld } from '../support/serviceWorld';

const NAME = 'org.blkmirror.Mirror1';
const ROOT = '/org/blkmirror/Mirror1';
const R0 = `${ROOT}/devices/r0`;
const DEVICE = `${NAME}.Device`;
const NOBODY = 65_534;
/** Becoming another user needs root. */
const asRoot = process.getuid?.() === 0 ? test : test.skip;

const bus = new PrivateBus();
let world: ServiceWorld;
let mirror: MirrorBus;

beforeAll(async () => {
  await bus.start();
});

afterAll(async () => {
  await bus.remove();
});

beforeEach(async () => {
  world = new ServiceWorld();
  world.configure('r0');
  await world.service.up('r0');
  mirror = newMirrorBus();
  await mirror.open();
});

afterEach(async () => {
  await mirror.close();
  await world.close();
});

function newMirrorBus(on: PrivateBus = bus): MirrorBus {
  return world.mirrorBus(on.address);
}

function call(path: string, iface: string, ...rest: string[]): Promise<Outcome> {
  return bus.busctl('call', NAME, path, iface, ...rest);
}

function property(path: string, iface: string, ...names: string[]): Promise<Outcome> {
  return bus.busctl('get-property', NAME, path, iface, ...names);
}

test('the call that DESIGN.md promises promotes', async () => {
  const outcome = await call(R0, DEVICE, 'Promote', 'a{sv}', '0');
  expect(outcome).toEqual({ status: 0, stdout: '', stderr: '' });
  expect(world.device('r0').calls).toEqual(['promote {"force":false}']);
  expect((await property(R0, DEVICE, 'Role', 'NbdSocket')).stdout).toBe(
    's "Primary"\ns "/run/fake/r0.sock"\n',
  );
});

test('up and down come and go as objects', async () => {
  world.configure('web-1');
  const up = await call(ROOT, `${NAME}.Manager`, 'Up', 'sa{sv}', 'web-1', '0');
  expect(up.stdout).toBe(`o "${ROOT}/devices/web_2d1"\n`);
  expect((await bus.busctl('tree', '--list', NAME)).stdout.split('\n')).toEqual([
    '/',
    '/org',
    '/org/blkmirror',
    ROOT,
    `${ROOT}/devices`,
    R0,
    `${R0}/peers`,
    `${R0}/peers/beta`,
    `${ROOT}/devices/web_2d1`,
    `${ROOT}/devices/web_2d1/peers`,
    `${ROOT}/devices/web_2d1/peers/beta`,
    '',
  ]);
  await call(ROOT, `${NAME}.Manager`, 'Down', 'sa{sv}', 'web-1', '0');
  const gone = await property(`${ROOT}/devices/web_2d1`, DEVICE, 'Role');
  expect(gone.stderr).toContain('there is no object');
});

test('introspection is understood and has every member', async () => {
  const { stdout, status } = await bus.busctl('introspect', NAME, R0);
  expect(status).toBe(0);
  expect(stdout).toMatch(/^\.Promote +method +a\{sv\} +- /m);
  expect(stdout).toMatch(/^\.Resync +method +a\{sv\} +o /m);
  expect(stdout).toMatch(/^\.Peers +property +ao +1 "\S+\/devices\/r0\/peers\/beta" emits-change/m);
  expect(stdout).toMatch(/^\.PropertiesChanged +signal /m);
  const xml = await bus.busctl('introspect', '--xml-interface', NAME, R0);
  expect(xml.stdout).toContain('Promote: makes this node Primary.');
});

test('values that are unknown are as the XML says', async () => {
  world.device('r0').show({ sizeBytes: null, currentUuid: null });
  const names = ['SizeBytes', 'CurrentUuid', 'DevicePath'];
  expect((await property(R0, DEVICE, ...names)).stdout).toBe(
    't 18446744073709551615\ns ""\ns ""\n',
  );
  const peer = await property(`${R0}/peers/beta`, `${NAME}.Peer`, 'ResyncDonePercent');
  expect(peer.stdout).toBe('d -1\n');
});

test('options reach the device; unknown ones and wrong types are refused', async () => {
  const options = ['a{sv}', '2', 'peer', 's', 'beta', 'discard-my-data', 'b', 'true'];
  expect((await call(R0, DEVICE, 'Connect', ...options)).status).toBe(0);
  expect(world.device('r0').calls).toEqual([
    'connect {"peer":"beta","discardMyData":true,"dryRun":false}',
  ]);
  const unknown = await call(R0, DEVICE, 'Promote', 'a{sv}', '1', 'farce', 'b', 'true');
  expect(unknown.stderr).toContain('unknown option "farce"; did you mean force?; known are: force');
  const wrong = await call(R0, DEVICE, 'Promote', 'a{sv}', '1', 'force', 's', 'yes');
  expect(wrong.stderr).toContain('the option force must be a boolean');
  const both = ['a{sv}', '2', 'from', 's', 'a', 'to', 's', 'b'];
  expect((await call(R0, DEVICE, 'Resync', ...both)).stderr).toContain('exclude each other');
  expect(world.device('r0').calls).toHaveLength(1);
});

test('errors carry their names', async () => {
  const client = await BusClient.open(bus.address);
  world.device('r0').nextError = new MirrorError('PeerIsPrimary', 'beta is Primary; demote it');
  const promote = { path: R0, interface: DEVICE, member: 'Promote' };
  expect(await client.call({ ...promote, signature: 'a{sv}', body: [{}] })).toBe(
    `${NAME}.Error.PeerIsPrimary: beta is Primary; demote it`,
  );
  expect(await client.call({ ...promote, signature: 's', body: ['now'] })).toBe(
    'org.freedesktop.DBus.Error.InvalidArgs: Promote was called with "s"; it takes "a{sv}"',
  );
  expect(await client.call({ ...promote, member: 'Promode' })).toBe(
    `org.freedesktop.DBus.Error.UnknownMethod: ${DEVICE} has no method "Promode"`,
  );
  expect(await client.call({ ...promote, path: `${ROOT}/devices/r9` })).toBe(
    `org.freedesktop.DBus.Error.UnknownObject: there is no object ${ROOT}/devices/r9`,
  );
  await client.close();
});

test('a message that names a descriptor it does not carry disturbs nobody', async () => {
  const client = await BusClient.open(bus.address);
  const ping = { path: R0, interface: 'org.freedesktop.DBus.Peer', member: 'Ping' };
  client.sendWithForgedDescriptor(ping);
  expect(await client.call(ping)).toBe('');
  expect(world.logged.join('')).toContain('could not be read');
  expect(world.logged.join('')).not.toContain('no bus');
  await client.close();
});

asRoot('another user may read but not change', async () => {
  const read = await bus.busctlAs(NOBODY, 'get-property', NAME, R0, DEVICE, 'Role');
  expect(read.stdout).toBe('s "Secondary"\n');
  const change = await bus.busctlAs(NOBODY, 'call', NAME, R0, DEVICE, 'Promote', 'a{sv}', '0');
  expect(change.status).toBe(1);
  expect(change.stderr).toContain('Promote is refused to user 65534: only root may change');
  expect(world.device('r0').calls).toEqual([]);
});

test('changes are signalled, only what changed, and so is the end of a job', async () => {
  const monitor = spawn('busctl', [`--address=${bus.address}`, 'monitor', '--json=short', NAME], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let text = '';
  monitor.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const ended = once(monitor, 'exit');
  try {
    await until('the monitor sees calls', async () => {
      await property(R0, DEVICE, 'Role');
      return text.includes('"Get"');
    });
    world.device('r0').show({ mayPromote: true, suspended: true });
    world.device('r0').show({ suspended: false });
    const job = await call(R0, DEVICE, 'Resync', 'a{sv}', '0');
    expect(job.stdout).toBe(`o "${ROOT}/jobs/1"\n`);
    world.device('r0').endResync();
    await until('the job is told to be completed', () => text.includes('"Completed"'));
    const state = await property(`${ROOT}/jobs/1`, `${NAME}.Job`, 'State', 'Progress');
    expect(state.stdout).toBe('s "done"\nd 1\n');
  } finally {
    monitor.kill('SIGTERM');
    await ended;
  }
  const signals = text
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as { member?: string; payload?: { data: unknown[] } });
  const changed = signals.find((signal) => signal.member === 'PropertiesChanged');
  expect(changed?.payload?.data).toEqual([DEVICE, { MayPromote: { type: 'b', data: true } }, []]);
  const added = signals.find((signal) => signal.member === 'InterfacesAdded');
  expect(added?.payload?.data[0]).toBe(`${ROOT}/jobs/1`);
  const completed = signals.find((signal) => signal.member === 'Completed');
  expect(completed?.payload?.data).toEqual([true, '']);
});

test('a second service on the same bus is refused in words', async () => {
  const second = newMirrorBus();
  await expect(second.open()).rejects.toMatchObject({
    code: 'Failed',
    message: `another service owns ${NAME} on this bus; end it first`,
  });
  await second.close();
  expect((await property(R0, DEVICE, 'Role')).status).toBe(0);
});

test('when the bus is killed and comes back, the name and the objects are back', async () => {
  await bus.kill();
  world.device('r0').show({ role: 'Primary' });
  await bus.start();
  await until('the name is back', async () => {
    return (await property(R0, DEVICE, 'Role')).stdout === 's "Primary"\n';
  });
  expect((await call(R0, DEVICE, 'Demote', 'a{sv}', '0')).status).toBe(0);
});

test('without a bus at the start it is told once, and found later', async () => {
  await mirror.close();
  await bus.kill();
  mirror = newMirrorBus();
  world.logged.length = 0;
  await mirror.open();
  await new Promise((resolve) => setTimeout(resolve, 1000));
  expect(world.logged.filter((line) => line.includes('no bus'))).toHaveLength(1);
  await bus.start();
  await until('the name is there', async () => (await property(R0, DEVICE, 'Role')).status === 0);
});

test('a bus that refuses the connection is tried again', async () => {
  const full = new PrivateBus('<limit name="max_connections_per_user">1</limit>');
  await full.start();
  const first = await BusClient.open(full.address);
  const late = newMirrorBus(full);
  await late.open();
  expect(world.logged.join('')).toContain('the bus refused the connection');
  await first.close();
  await until('the name is there', () => world.logged.filter(isOnTheBus).length === 2);
  await late.close();
  await full.remove();
});

function isOnTheBus(line: string): boolean {
  return line.includes('"on the bus"');
}
