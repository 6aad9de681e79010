// Devices and peers to show: a healthy mirror, and variations of it.

import type { NodeName, ResourceName } from '../../../src/model/states';
import type { DeviceStatus, PeerStatus } from '../../../src/model/status';

export const MIB = 1024 * 1024;

const PEER: PeerStatus = {
  name: 'beta' as NodeName,
  address: '192.0.2.2:7788',
  connectionState: 'Connected',
  reason: '',
  replicationState: 'Established',
  role: 'Secondary',
  diskState: 'UpToDate',
  outOfSyncBytes: 0,
  resyncDonePercent: 100,
  resyncBytesPerSecond: 0,
  splitBrain: null,
};

const DEVICE: DeviceStatus = {
  name: 'r0' as ResourceName,
  role: 'Primary',
  diskState: 'UpToDate',
  device: null,
  nbdSocket: '/run/blkmirror/r0.sock',
  sizeBytes: 1024 * MIB,
  protocol: 'C',
  suspended: false,
  suspendedReason: '',
  currentUuid: '00112233445566aa',
  mayPromote: true,
  peers: [PEER],
};

export function peer(
  changes: Partial<Omit<PeerStatus, 'name'>> & { name?: string } = {},
): PeerStatus {
  return { ...PEER, ...changes } as PeerStatus;
}

export function device(
  changes: Partial<Omit<DeviceStatus, 'name'>> & { name?: string } = {},
): DeviceStatus {
  return { ...DEVICE, ...changes } as DeviceStatus;
}

export function secondary(changes: Parameters<typeof device>[0] = {}): DeviceStatus {
  return device({ role: 'Secondary', nbdSocket: null, ...changes });
}
