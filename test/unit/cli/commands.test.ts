// Every command against the service on a bus of its own, over devices in memory.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { MirrorBus } from '../../../src/dbus/mirrorBus';
import { MirrorError } from '../../../src/model/errors';
import { PrivateBus, until } from '../../support/privateBus';
import { ServiceWorld } from '../../support/serviceWorld';
import { Terminal } from './terminal';

const bus = new PrivateBus();
let world: ServiceWorld;
let mirror: MirrorBus;
let terminal: Terminal;

beforeAll(() => bus.start());
afterAll(() => bus.remove());

beforeEach(async () => {
  world = new ServiceWorld();
  world.configure('r0');
  mirror = world.mirrorBus(bus.address);
  await mirror.open();
  terminal = newTerminal();
});

afterEach(async () => {
  await mirror.close();
  await world.close();
});

function newTerminal(isTerminal = false): Terminal {
  return new Terminal(['--bus', bus.address, '--config-dir', world.folder], isTerminal);
}

function done(out: string): object {
  return { exit: 0, out: `${out}\n`, err: '' };
}

function refused(reason: string): object {
  return { exit: 1, out: '', err: `blkmirror: ${reason}\n` };
}

test('up and down, twice each', async () => {
  expect(await terminal.run('up', 'r0')).toEqual(done('r0 is up'));
  expect(await terminal.run('up', 'r0')).toEqual(done('r0 is up'));
  expect(await terminal.run('down', 'r0')).toEqual(done('r0 is down'));
  expect(await terminal.run('down', 'r0')).toEqual(done('r0 is down'));
});

test('a wrong file: every problem with its line', async () => {
  world.configure('r1', 7788, '[net]\ntimeout = 1\n[disk]\nal-extent = 1');
  const file = join(world.folder, 'resources.d/r1.conf');
  expect(await terminal.run('up', 'r1')).toEqual({
    exit: 1,
    out: '',
    err: `blkmirror: ${file}:2: unknown option timeout in [net]; did you mean timeout-ms?
blkmirror: ${file}:4: unknown option al-extent in [disk]; did you mean al-extents?
`,
  });
});

test('up all goes on after a failure', async () => {
  world.configure('r1', 7789);
  world.configure('r2', 7790);
  world.openErrors.set('r1', new MirrorError('NotAttached', 'the disk is too small'));
  expect(await terminal.run('up', 'all')).toEqual({
    exit: 1,
    out: 'r0 is up\nr2 is up\n',
    err: 'blkmirror: r1: the disk is too small\n',
  });
  expect(await terminal.run('down', 'all')).toEqual(done('r0 is down\nr2 is down'));
});

test('up --wait ends when the peer is connected, when it never will be, and in time', async () => {
  const waiting = terminal.start('up', 'r0', '--wait');
  await until('it is up', () => terminal.out === 'r0 is up\n');
  world.device('r0').showPeer('beta', { connectionState: 'Connected', replicationState: 'Off' });
  world.device('r0').showPeer('beta', { replicationState: 'SyncTarget' });
  expect(await waiting).toBe(0);
  expect(terminal.out).toBe('r0 is up\nr0 is connected to beta\n');
  world.device('r0').showPeer('beta', { connectionState: 'StandAlone', reason: 'split brain' });
  expect(await terminal.run('up', 'r0', '--wait')).toEqual({
    exit: 0,
    out: 'r0 is up\n',
    err: 'blkmirror: r0 does not connect to beta (split brain)\n',
  });
  world.configure('r1', 7789, '[startup]\nwfc-timeout = 1');
  expect(await terminal.run('up', 'r1', '--wait')).toEqual({
    exit: 0,
    out: 'r1 is up\n',
    err: 'blkmirror: r1: beta is not connected after 1 s\n',
  });
});

test('up all without any resource says so', async () => {
  const folder = join(world.folder, 'none');
  const empty = new Terminal(['--bus', bus.address, '--config-dir', folder]);
  expect(await empty.run('up', 'all')).toEqual({
    exit: 0,
    out: '',
    err: `blkmirror: no resource is configured in ${folder}/resources.d\n`,
  });
});

test('promote and demote, by name and by /dev/nbdN', async () => {
  world.configure('nbd0', 7789);
  await world.service.up('r0');
  await world.service.up('nbd0');
  const promoted = await terminal.run('promote', 'r0', '--force');
  expect(promoted).toEqual(done('r0 is Primary, served on /run/fake/r0.sock'));
  expect(await terminal.run('demote', 'r0')).toEqual(done('r0 is Secondary'));
  expect(world.device('r0').calls).toEqual(['promote {"force":true}', 'demote']);
  expect(await terminal.run('promote', '/dev/nbd0')).toMatchObject({ exit: 0 });
  expect(world.device('nbd0').calls).toEqual(['promote {"force":false}']);
});

test('a refusal is one line and 1', async () => {
  await world.service.up('r0');
  world.device('r0').nextError = new MirrorError('DeviceInUse', 'client 4711 (fio) uses r0');
  expect(await terminal.run('demote', 'r0')).toEqual(refused('client 4711 (fio) uses r0'));
});

test('a resource that is not up', async () => {
  expect(await terminal.run('promote', 'r0')).toEqual(
    refused('resource r0 is not up; bring it up with: blkmirror up r0'),
  );
});

test('connect and disconnect', async () => {
  await world.service.up('r0');
  expect(await terminal.run('disconnect', 'r0')).toEqual(done('r0 is disconnected from its peers'));
  expect(await terminal.run('connect', 'r0', 'beta', '--discard-my-data')).toEqual(
    done('r0 connects to beta\nr0 knows of no split brain with beta, nothing is discarded'),
  );
  const dryRun = ['connect', 'r0', 'beta', '--discard-my-data', '--dry-run'];
  expect(await terminal.run(...dryRun)).toEqual(
    done('r0 knows of no split brain with beta, nothing is discarded'),
  );
  expect(world.device('r0').calls).toEqual([
    'disconnect {}',
    'connect {"peer":"beta","discardMyData":true,"dryRun":false}',
    'connect {"peer":"beta","discardMyData":true,"dryRun":true}',
  ]);
});

test('a dry run is one of discarding', async () => {
  await world.service.up('r0');
  expect((await terminal.run('connect', 'r0', '--dry-run')).exit).toBe(2);
});

test('outdate, invalidate and invalidate-remote', async () => {
  await world.service.up('r0');
  expect((await terminal.run('outdate', 'r0')).exit).toBe(0);
  expect((await terminal.run('invalidate', 'r0')).exit).toBe(0);
  expect((await terminal.run('invalidate-remote', 'r0')).exit).toBe(0);
  expect(world.device('r0').calls).toEqual([
    'outdate',
    'invalidate',
    'invalidateRemote {"peer":"beta"}',
  ]);
});

test('resync without --wait', async () => {
  await world.service.up('r0');
  expect(await terminal.run('resync', 'r0', '--full', '--from', 'beta')).toEqual(
    done(`the resync of r0 runs; see: blkmirror --bus ${bus.address} status r0`),
  );
  expect(world.device('r0').calls).toEqual(['resync {"full":true,"from":"beta"}']);
  world.device('r0').endResync();
});

test('resync --wait shows plain lines and ends with the job', async () => {
  await world.service.up('r0');
  const device = world.device('r0');
  device.fraction = 0.25;
  const exit = terminal.start('resync', 'r0', '--wait');
  await until('progress', () => terminal.out.includes('25.0%'));
  device.endResync();
  expect(await exit).toBe(0);
  expect(terminal.out).toMatch(/^resync of r0: 25\.0% {2}1000 B\/s/);
  expect(terminal.out).toMatch(/\nr0 is in sync\n$/);
});

test('resync --wait on a terminal draws a bar', async () => {
  await world.service.up('r0');
  const device = world.device('r0');
  device.fraction = 0.5;
  const screen = newTerminal(true);
  const exit = screen.start('resync', 'r0', '--wait');
  await until('a bar', () => screen.out.includes('\r\x1b[2Kresync of r0  [#####'));
  device.endResync();
  expect(await exit).toBe(0);
  expect(screen.out).toMatch(/100%\nr0 is in sync\n$/);
});

test('a resync that fails', async () => {
  await world.service.up('r0');
  const exit = terminal.start('resync', 'r0', '--wait');
  await until('the call', () => world.device('r0').calls.length > 0);
  world.device('r0').endResync(new MirrorError('NotConnected', 'beta is gone'));
  expect(await exit).toBe(1);
  expect(terminal.err).toBe('blkmirror: the resync of r0 failed: beta is gone\n');
});

test('up on a terminal shows the resync that begins', async () => {
  await world.service.up('r0');
  const device = world.device('r0');
  const resyncing = { connectionState: 'Connected', replicationState: 'SyncTarget' } as const;
  device.showPeer('beta', { ...resyncing, resyncDonePercent: 30, resyncBytesPerSecond: 1024 });
  const screen = newTerminal(true);
  const exit = screen.start('up', 'r0');
  await until('a bar', () => screen.out.includes('30.0%'));
  device.showPeer('beta', { replicationState: 'Established', outOfSyncBytes: 0 });
  expect(await exit).toBe(0);
  expect(screen.out).toMatch(/^r0 is up\n/);
  expect(screen.out).toMatch(/\nr0 is in sync\n$/);
});

test('status for people and as JSON', async () => {
  await world.service.up('r0');
  const { out } = await terminal.run('status');
  expect(out).toBe(
    'r0  Secondary  Inconsistent  1 MiB\n' +
      '  beta  Connecting  Off  Unknown  DUnknown  1 MiB out of sync\n',
  );
  const json = await terminal.run('status', '--json');
  expect(json.exit).toBe(0);
  expect(JSON.parse(json.out)).toEqual([world.device('r0').status()]);
  expect(JSON.parse((await terminal.run('status', 'r0', '--json')).out)).toHaveLength(1);
});

test('status of nothing', async () => {
  expect(await terminal.run('status', '--json')).toEqual(done('[]'));
  expect(await terminal.run('status', 'r0', '--json')).toEqual(done('[]'));
  expect(await terminal.run('status')).toEqual(
    done(
      `no resource is up; configured: r0; bring one up with: blkmirror --bus ${bus.address} up r0`,
    ),
  );
  expect(await terminal.run('status', 'r0')).toEqual(
    refused('resource r0 is not up; bring it up with: blkmirror up r0'),
  );
  expect(await terminal.run('status', 'r9')).toEqual(
    refused('there is no resource r9; configured: r0'),
  );
});

test('events tell the state, then changes, then that the service has ended', async () => {
  await world.service.up('r0');
  const exit = terminal.start('events', '--json');
  const events = (): object[] =>
    terminal.out.split('\n').flatMap((line) => (line === '' ? [] : (JSON.parse(line) as object)));
  await until('the state', () => events().length === 2);
  world.device('r0').showPeer('beta', { connectionState: 'Connected', role: 'Secondary' });
  await until('the change', () => events().length === 3);
  expect(events()).toMatchObject([
    { event: 'state', resource: 'r0', role: 'Secondary' },
    { event: 'state', resource: 'r0', peer: 'beta', connectionState: 'Connecting' },
    { event: 'changed', resource: 'r0', peer: 'beta', connectionState: 'Connected' },
  ]);
  await mirror.close();
  expect(await exit).toBe(1);
  expect(terminal.err).toBe('blkmirror: blkmirrord has ended\n');
});

test('without a service every command says how to start it', async () => {
  await mirror.close();
  const reason = `blkmirrord is not running on the bus at ${bus.address}; start it with: \
blkmirrord --bus ${bus.address}`;
  for (const command of ['up r0', 'down all', 'promote r0', 'status --json', 'events']) {
    expect(await terminal.run(...command.split(' '))).toEqual(refused(reason));
  }
});

test('without a bus', async () => {
  const nowhere = new Terminal(['--bus', 'unix:path=/nonexistent/bus']);
  expect(await nowhere.run('status')).toEqual(
    refused(
      'cannot reach the bus at unix:path=/nonexistent/bus (/nonexistent/bus does not exist); ' +
        'check the address given with --bus',
    ),
  );
  expect(existsSync('/nonexistent')).toBe(false);
});
