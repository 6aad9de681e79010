/**
 * The status of a resource as users see it, from the state gate and the data plane.
 */
import { formatUuid } from '../model/states';
import type { DiskState, NodeName } from '../model/states';
import type { DeviceStatus, PeerStatus, SplitBrainStatus } from '../model/status';
import type { DeviceStatistics, PeerStatistics } from '../plane/plane';
import { isResync } from '../rules/transitions';
import type { PeerState } from '../rules/transitions';
import type { Core } from './core';
import { doneFraction } from './progress';
import { socketPathOf } from './roleCommands';

export function deviceStatus(
  core: Core,
  mayPromote: boolean,
  suspendedReason: string,
  rateOf: (peer: NodeName) => number,
  splitBrainOf: (peer: NodeName) => SplitBrainStatus | null,
  fencedCopyOf: (peer: NodeName) => DiskState | undefined,
): DeviceStatus {
  const { role, diskState, peers } = core.gate.snapshot();
  const metadata = core.device.metadata();
  const statistics = core.device.statistics();
  return {
    name: core.name,
    role,
    diskState,
    device: role === 'Primary' ? core.kernel.path : null,
    nbdSocket: role === 'Primary' ? socketPathOf(core) : null,
    sizeBytes: Number(metadata.sizeBytes),
    protocol: core.config.protocol,
    suspended: statistics.suspended || suspendedReason !== '',
    suspendedReason,
    currentUuid: formatUuid(metadata.currentUuid),
    mayPromote,
    peers: [...peers].map(([name, peer]) => ({
      ...peerStatus(core, name, peer, statisticsOf(core, statistics, name), rateOf(name)),
      splitBrain: splitBrainOf(name),
      diskState: seenDisk(peer, fencedCopyOf(name)),
    })),
  };
}

/** Of a peer that is away only its fencing tells. */
function seenDisk(peer: PeerState, fenced: DiskState | undefined): DiskState {
  return peer.connectionState === 'Connected' ? peer.diskState : (fenced ?? peer.diskState);
}

function statisticsOf(
  core: Core,
  statistics: DeviceStatistics,
  peer: NodeName,
): PeerStatistics | undefined {
  const slot = core.device.metadata().peers.find((record) => record.name === peer)?.slot;
  return statistics.peers.find((entry) => entry.slot === slot);
}

function peerStatus(
  core: Core,
  name: NodeName,
  state: PeerState,
  statistics: PeerStatistics | undefined,
  rate: number,
): Omit<PeerStatus, 'splitBrain'> {
  const fraction = doneFraction(statistics);
  return {
    name,
    address: core.config.nodes.find((node) => node.name === name)?.address ?? '',
    connectionState: state.connectionState,
    reason: state.reason,
    replicationState: state.replicationState,
    role: state.role,
    diskState: state.diskState,
    outOfSyncBytes: statistics === undefined ? null : Number(statistics.outOfSyncBytes),
    resyncDonePercent: fraction === undefined ? null : Math.floor(fraction * 10_000) / 100,
    resyncBytesPerSecond: isResync(state.replicationState) ? rate : 0,
  };
}
