// From the ObjectManager's answer to DeviceStatus.

import { readDevices, tryOwner } from '../../../src/cli/statusMap';
import type { ManagedObjects, Properties } from '../../../src/cli/statusMap';

const ROOT = '/org/blkmirror/Mirror1';
const DEVICE: Properties = {
  Name: 'r-0',
  Role: 'Primary',
  DiskState: 'UpToDate',
  DevicePath: '',
  NbdSocket: '/run/r-0.sock',
  SizeBytes: 1n << 40n,
  Protocol: 'C',
  CurrentUuid: '00112233445566aa',
  Suspended: false,
  SuspendedReason: '',
  MayPromote: true,
};
const PEER: Properties = {
  Name: 'beta',
  Address: '192.0.2.2:7788',
  ConnectionState: 'Connected',
  Reason: '',
  ReplicationState: 'SyncSource',
  Role: 'Secondary',
  DiskState: 'Inconsistent',
  OutOfSyncBytes: 4096n,
  ResyncDonePercent: 12.5,
  ResyncBytesPerSecond: 1000n,
};

function objects(device: Properties, peer: Properties): ManagedObjects {
  return new Map([
    [`${ROOT}/devices/r_2d0/peers/beta`, new Map([['org.blkmirror.Mirror1.Peer', peer]])],
    [`${ROOT}/devices/r_2d0`, new Map([['org.blkmirror.Mirror1.Device', device]])],
    [ROOT, new Map([['org.blkmirror.Mirror1.Manager', { Version: '1' }]])],
    [`${ROOT}/jobs/1`, new Map([['org.blkmirror.Mirror1.Job', {}]])],
  ]);
}

test('numbers are numbers', () => {
  expect(readDevices(objects(DEVICE, PEER))).toEqual([
    {
      name: 'r-0',
      role: 'Primary',
      diskState: 'UpToDate',
      device: null,
      nbdSocket: '/run/r-0.sock',
      sizeBytes: 2 ** 40,
      protocol: 'C',
      suspended: false,
      suspendedReason: '',
      currentUuid: '00112233445566aa',
      mayPromote: true,
      peers: [
        {
          name: 'beta',
          address: '192.0.2.2:7788',
          connectionState: 'Connected',
          reason: '',
          replicationState: 'SyncSource',
          role: 'Secondary',
          diskState: 'Inconsistent',
          outOfSyncBytes: 4096,
          resyncDonePercent: 12.5,
          resyncBytesPerSecond: 1000,
          splitBrain: null,
        },
      ],
    },
  ]);
});

test('what is unknown is null', () => {
  const unknown = 2n ** 64n - 1n;
  const device = { ...DEVICE, SizeBytes: unknown, CurrentUuid: '', NbdSocket: '' };
  const peer = { ...PEER, OutOfSyncBytes: unknown, ResyncDonePercent: -1 };
  expect(readDevices(objects(device, peer))).toMatchObject([
    {
      sizeBytes: null,
      currentUuid: null,
      nbdSocket: null,
      peers: [{ outOfSyncBytes: null, resyncDonePercent: null }],
    },
  ]);
});

test('a service of another version is no reason to fail', () => {
  expect(readDevices(objects({}, { Role: 'Boss' }))).toMatchObject([
    {
      role: 'Unknown',
      sizeBytes: null,
      peers: [{ role: 'Unknown', connectionState: 'Unconnected' }],
    },
  ]);
});

test.each<[string, object | undefined]>([
  [`${ROOT}/devices/r0`, { resource: 'r0' }],
  [`${ROOT}/devices/_30/peers/a_2eb`, { resource: '0', peer: 'a.b' }],
  [`${ROOT}/devices/r_`, undefined],
  [`${ROOT}/devices/r0/peers`, undefined],
  [`${ROOT}/jobs/1`, undefined],
  [ROOT, undefined],
  ['/elsewhere/devices/r0', undefined],
])('%s', (path, owner) => {
  expect(tryOwner(path)).toEqual(owner);
});
