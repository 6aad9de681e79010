// Events: what signals make of the state as last told, and the lines they become.

import { Variant } from 'dbus-next';
import type { Signal } from '../../../src/cli/bus';
import { ChangeTracker } from '../../../src/cli/changes';
import type { MirrorEvent } from '../../../src/cli/changes';
import type { Properties } from '../../../src/cli/statusMap';
import { renderEvent, renderJsonEvent } from '../../../src/cli/eventsView';
import { plainPainter } from '../../../src/cli/style';

const ROOT = '/org/blkmirror/Mirror1';
const R0 = `${ROOT}/devices/r0`;
const BETA = `${R0}/peers/beta`;
const DEVICE = 'org.blkmirror.Mirror1.Device';
const PEER = 'org.blkmirror.Mirror1.Peer';
const NOON = new Date(2026, 10, 21, 12, 0, 5);

function tracker(): ChangeTracker {
  const fresh = new ChangeTracker();
  fresh.begin(
    new Map<string, Map<string, Properties>>([
      [BETA, new Map([[PEER, { ConnectionState: 'Connecting', ReplicationState: 'Off' }]])],
      [R0, new Map([[DEVICE, { Role: 'Secondary', DiskState: 'UpToDate' }]])],
    ]),
  );
  return fresh;
}

function signal(path: string, member: string, ...body: unknown[]): Signal {
  return { path, interface: 'any', member, body };
}

function changed(path: string, name: string, values: Record<string, Variant>): Signal {
  return signal(path, 'PropertiesChanged', name, values, []);
}

function lines(events: readonly MirrorEvent[]): (string | undefined)[] {
  return events.map((event) => renderEvent(event, NOON, plainPainter));
}

test('the state to begin with, devices before their peers', () => {
  const events = new ChangeTracker().begin(
    new Map<string, Map<string, Properties>>([
      [BETA, new Map([[PEER, { ConnectionState: 'Connected', OutOfSyncBytes: 4096n }]])],
      [R0, new Map([[DEVICE, { Role: 'Primary', DiskState: 'UpToDate', SizeBytes: 1n << 30n }]])],
      [`${ROOT}/jobs/1`, new Map()],
    ]),
  );
  expect(lines(events)).toEqual([
    '12:00:05  r0  is  role Primary, disk UpToDate, size 1 GiB, protocol C',
    '12:00:05  r0 beta  is  connection Connected, replication Off, role Unknown, disk DUnknown, ' +
      'out of sync 4 KiB',
  ]);
});

test('only what is new is told, with what it was', () => {
  const values = { Role: new Variant('s', 'Primary'), DiskState: new Variant('s', 'UpToDate') };
  const events = tracker().next(changed(R0, DEVICE, values));
  expect(lines(events)).toEqual(['12:00:05  r0  role Secondary -> Primary']);
});

test('a reason stands behind what it explains; its end is no news', () => {
  const known = tracker();
  const lost = {
    ConnectionState: new Variant('s', 'Unconnected'),
    Reason: new Variant('s', 'broken pipe'),
  };
  expect(lines(known.next(changed(BETA, PEER, lost)))).toEqual([
    '12:00:05  r0 beta  connection Connecting -> Unconnected (broken pipe)',
  ]);
  const over = { Reason: new Variant('s', '') };
  expect(lines(known.next(changed(BETA, PEER, over)))).toEqual([undefined]);
});

test('as JSON', () => {
  const values = { ReplicationState: new Variant('s', 'SyncSource') };
  const [event] = tracker().next(changed(BETA, PEER, values));
  if (event === undefined) throw new Error('no event');
  const text = renderJsonEvent(event, new Date('2026-11-21T12:00:05.250Z'));
  expect(JSON.parse(text)).toEqual({
    time: '2026-11-21T12:00:05.250Z',
    event: 'changed',
    resource: 'r0',
    peer: 'beta',
    replicationState: 'SyncSource',
  });
});

test('a change that changes nothing is no event', () => {
  const same = changed(R0, DEVICE, { Role: new Variant('s', 'Secondary') });
  expect(tracker().next(same)).toEqual([]);
  expect(tracker().next(changed(`${ROOT}/devices/r1`, DEVICE, {}))).toEqual([]);
  expect(tracker().next(changed(R0, 'org.example.Other', {}))).toEqual([]);
  expect(tracker().next(signal(ROOT, 'SomethingElse'))).toEqual([]);
});

test('resources and peers come and go', () => {
  const known = tracker();
  const values = { [DEVICE]: { Role: new Variant('s', 'Secondary') } };
  const added = known.next(signal(ROOT, 'InterfacesAdded', `${ROOT}/devices/r1`, values));
  expect(added.map((event) => [event.kind, event.owner.resource])).toEqual([['up', 'r1']]);
  const peerGone = known.next(signal(ROOT, 'InterfacesRemoved', BETA, [PEER]));
  expect(lines(peerGone)).toEqual(['12:00:05  r0 beta  is no peer any more']);
  const gone = known.next(signal(ROOT, 'InterfacesRemoved', R0, [DEVICE]));
  expect(lines(gone)).toEqual(['12:00:05  r0  went down']);
  expect(known.next(signal(ROOT, 'InterfacesRemoved', R0, [DEVICE]))).toEqual([]);
});

test('progress is told in numbers', () => {
  const values = {
    OutOfSyncBytes: new Variant('t', 1n << 20n),
    ResyncDonePercent: new Variant('d', 50),
    ResyncBytesPerSecond: new Variant('t', 1n << 20n),
  };
  expect(lines(tracker().next(changed(BETA, PEER, values)))).toEqual([
    '12:00:05  r0 beta  out of sync 1 MiB, resync 50.0%, at 1 MiB/s',
  ]);
});
