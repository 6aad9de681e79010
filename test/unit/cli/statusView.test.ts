// What `status` shows to people, for the states a mirror goes through.

import { renderStatus } from '../../../src/cli/statusView';
import { colourPainter, plainPainter } from '../../../src/cli/style';
import type { DeviceStatus } from '../../../src/model/status';
import { device, MIB, peer, secondary } from './samples';

function shown(...devices: DeviceStatus[]): string[] {
  return renderStatus(devices, plainPainter).split('\n');
}

test('a healthy mirror, on the Primary', () => {
  expect(shown(device())).toEqual([
    'r0  Primary  UpToDate  1 GiB  /run/blkmirror/r0.sock',
    '  beta  Connected  Established  Secondary  UpToDate  in sync',
  ]);
});

test('the kernel device rather than the socket', () => {
  expect(shown(device({ device: '/dev/blkmirror/r0', peers: [] }))).toEqual([
    'r0  Primary  UpToDate  1 GiB  /dev/blkmirror/r0',
  ]);
});

test('a healthy mirror, on the Secondary', () => {
  expect(shown(secondary({ peers: [peer({ role: 'Primary' })] }))).toEqual([
    'r0  Secondary  UpToDate  1 GiB',
    '  beta  Connected  Established  Primary  UpToDate  in sync',
  ]);
});

test('just created: what to do first', () => {
  const beta = peer({ diskState: 'Inconsistent', outOfSyncBytes: 1024 * MIB });
  expect(shown(secondary({ diskState: 'Inconsistent', peers: [beta] }))).toEqual([
    'r0  Secondary  Inconsistent  1 GiB',
    '  no copy is UpToDate; on the node whose data is to be kept: blkmirror promote r0 --force',
    '  beta  Connected  Established  Secondary  Inconsistent  1 GiB out of sync',
  ]);
});

test('waiting for the peer', () => {
  const beta = peer({
    connectionState: 'Connecting',
    replicationState: 'Off',
    role: 'Unknown',
    diskState: 'DUnknown',
    outOfSyncBytes: 12 * MIB,
    resyncDonePercent: null,
  });
  expect(shown(device({ peers: [beta] }))[1]).toBe(
    '  beta  Connecting  Off  Unknown  DUnknown  12 MiB out of sync',
  );
});

test('a connection that fell, and why', () => {
  const beta = peer({
    connectionState: 'Unconnected',
    reason: 'no answer within 6000 ms',
    replicationState: 'Off',
    role: 'Unknown',
    diskState: 'DUnknown',
    outOfSyncBytes: 4096,
  });
  expect(shown(device({ peers: [beta] })).slice(1)).toEqual([
    '  beta  Unconnected  Off  Unknown  DUnknown  4 KiB out of sync',
    '    no answer within 6000 ms',
  ]);
});

test('a resync, as source', () => {
  const beta = peer({
    replicationState: 'SyncSource',
    diskState: 'Inconsistent',
    outOfSyncBytes: 600 * MIB,
    resyncDonePercent: 41.4,
    resyncBytesPerSecond: 100 * MIB,
  });
  expect(shown(device({ peers: [beta] }))[1]).toBe(
    '  beta  Connected  SyncSource  Secondary  Inconsistent  600 MiB out of sync  ' +
      '[####........]  41.4%  100 MiB/s  6 s left',
  );
});

test('a resync that has just begun has no rate yet', () => {
  const beta = peer({
    replicationState: 'SyncTarget',
    role: 'Primary',
    outOfSyncBytes: 64 * MIB,
    resyncDonePercent: 0,
  });
  expect(shown(secondary({ diskState: 'Inconsistent', peers: [beta] }))).toEqual([
    'r0  Secondary  Inconsistent  1 GiB',
    '  beta  Connected  SyncTarget  Primary  UpToDate  64 MiB out of sync  [............]  0.0%',
  ]);
});

test('split brain, and the command that solves it', () => {
  const beta = peer({
    connectionState: 'StandAlone',
    reason: 'split brain: both copies have changed since they were last connected',
    replicationState: 'Off',
    role: 'Unknown',
    diskState: 'DUnknown',
    outOfSyncBytes: 8192,
  });
  expect(shown(device({ peers: [beta] })).slice(2)).toEqual([
    '    split brain: both copies have changed since they were last connected',
    '    to give up what was written here: blkmirror connect r0 beta --discard-my-data; on the ' +
      'other node: connect',
  ]);
});

test('a reason that names a command is enough', () => {
  const reason = 'split brain; to give up these changes run blkmirror connect r0 --discard-my-data';
  const beta = peer({ connectionState: 'StandAlone', reason, replicationState: 'Off' });
  expect(shown(device({ peers: [beta] })).slice(2)).toEqual([`    ${reason}`]);
});

test('disconnected by hand', () => {
  const beta = peer({ connectionState: 'StandAlone', replicationState: 'Off' });
  expect(shown(device({ peers: [beta] })).slice(2)).toEqual([
    '    to connect again: blkmirror connect r0 beta',
  ]);
});

test('reverted', () => {
  const reason = 'refused as reverted: beta went back to an older state';
  const beta = peer({ connectionState: 'StandAlone', reason, replicationState: 'Off' });
  expect(shown(device({ peers: [beta] })).slice(2)).toEqual([
    `    ${reason}`,
    '    on the node that went back: blkmirror resync r0 --full',
  ]);
});

test('reverted, and no source for it', () => {
  const reason = 'reverted: alpha went back, beta is no source; run down, create-md --force and up';
  const beta = peer({ connectionState: 'StandAlone', reason, replicationState: 'Off' });
  expect(shown(device({ peers: [beta] })).slice(2)).toEqual([
    `    ${reason}`,
    '    on the node whose copy may go: blkmirror down r0, create-md --force, up',
  ]);
});

test('a failed disk and suspended I/O', () => {
  expect(
    shown(device({ diskState: 'Failed', suspended: true, sizeBytes: null, peers: [] })),
  ).toEqual([
    'r0  Primary  Failed    /run/blkmirror/r0.sock',
    '  I/O is suspended: writes wait for a decision',
    '  no backing disk; repair it, then: blkmirror attach r0 ' +
      '(a new one first: blkmirror create-md r0)',
  ]);
});

test('a Primary without a disk names the peer that serves it', () => {
  const beta = peer({ diskState: 'UpToDate' });
  expect(shown(device({ diskState: 'Diskless', peers: [beta] }))[1]).toBe(
    '  no backing disk; beta serves reads and writes; repair it, then: blkmirror attach r0 ' +
      '(a new one first: blkmirror create-md r0)',
  );
});

test('unknown values leave gaps, not words', () => {
  const beta = peer({ outOfSyncBytes: null, resyncDonePercent: null });
  expect(shown(secondary({ diskState: 'Diskless', sizeBytes: null, peers: [beta] }))).toEqual([
    'r0  Secondary  Diskless',
    '  no backing disk; repair it, then: blkmirror attach r0 ' +
      '(a new one first: blkmirror create-md r0)',
    '  beta  Connected  Established  Secondary  UpToDate',
  ]);
});

test('columns line up over resources and peers', () => {
  const peers = [peer({ name: 'beta' }), peer({ name: 'longer-name', role: 'Primary' })];
  expect(shown(device({ peers }), secondary({ name: 'database', peers: [peer()] }))).toEqual([
    'r0        Primary    UpToDate  1 GiB  /run/blkmirror/r0.sock',
    '  beta         Connected  Established  Secondary  UpToDate  in sync',
    '  longer-name  Connected  Established  Primary    UpToDate  in sync',
    'database  Secondary  UpToDate  1 GiB',
    '  beta         Connected  Established  Secondary  UpToDate  in sync',
  ]);
});

test('colour says how bad it is, and changes no column', () => {
  const beta = peer({
    connectionState: 'StandAlone',
    reason: 'split brain',
    replicationState: 'Off',
  });
  const text = renderStatus([device({ peers: [beta] })], colourPainter);
  expect(text).toContain('\x1b[32mPrimary\x1b[39m');
  expect(text).toContain('\x1b[31mStandAlone\x1b[39m');
  const colour = new RegExp(`${String.fromCharCode(27)}\\[[0-9]+m`, 'g');
  expect(text.replace(colour, '')).toBe(shown(device({ peers: [beta] })).join('\n'));
});
