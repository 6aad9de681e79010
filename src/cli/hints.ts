/**
 * What a status alone does not tell a newcomer: what is wrong, and the command that helps.
 * Pure; shown by `status` below the line it concerns.
 */
import type { DeviceStatus, PeerStatus } from '../model/status';
import { splitBrainLines } from './splitBrainWords';
import type { Severity } from './style';

export interface Hint {
  readonly text: string;
  readonly severity: Severity;
}

export function deviceHints(device: DeviceStatus): readonly Hint[] {
  const hints: Hint[] = [];
  const { name } = device;
  if (device.suspended) {
    const why = device.suspendedReason || 'writes wait for a decision';
    hints.push({ text: `I/O is suspended: ${why}`, severity: 'bad' });
  }
  if (device.diskState === 'Failed' || device.diskState === 'Diskless') {
    hints.push({ text: `no backing disk; ${helpWithoutDisk(device)}`, severity: 'bad' });
  }
  if (needsFirstData(device)) {
    const text = `no copy is UpToDate; on the node whose data is to be kept: blkmirror promote \
${name} --force`;
    hints.push({ text, severity: 'warning' });
  }
  return hints;
}

export function peerHints(device: DeviceStatus, peer: PeerStatus): readonly Hint[] {
  const hints: Hint[] = [];
  const standAlone = peer.connectionState === 'StandAlone';
  if (peer.reason !== '') {
    hints.push({ text: peer.reason, severity: standAlone ? 'bad' : 'warning' });
  }
  for (const text of splitBrainLines(peer)) hints.push({ text, severity: 'plain' });
  const help = standAlone ? standAloneHelp(device, peer) : undefined;
  // A reason that names a command has said it already.
  if (help !== undefined && !peer.reason.includes('blkmirror ')) {
    hints.push({ text: help, severity: 'quiet' });
  }
  return hints;
}

function helpWithoutDisk({ name, role, peers }: DeviceStatus): string {
  const server = peers.find((peer) => peer.replicationState === 'Established');
  const served = role === 'Primary' && server ? `${server.name} serves reads and writes; ` : '';
  return `${served}repair it, then: blkmirror attach ${name} (a new one first: blkmirror \
create-md ${name})`;
}

/** Nobody has good data, and nobody who could bring it is awaited: a mirror just created. */
function needsFirstData(device: DeviceStatus): boolean {
  if (device.diskState !== 'Inconsistent' || device.role === 'Primary') return false;
  return device.peers.every(
    (peer) =>
      peer.connectionState === 'Connected' &&
      peer.diskState === 'Inconsistent' &&
      // The service may have said it already.
      !peer.reason.includes('--force'),
  );
}

function standAloneHelp(device: DeviceStatus, peer: PeerStatus): string {
  const connect = `blkmirror connect ${device.name} ${peer.name}`;
  if (/split.?brain/i.test(peer.reason)) {
    return `to give up what was written here: ${connect} --discard-my-data; on the other node: \
connect`;
  }
  if (/reverted.*create-md/i.test(peer.reason)) {
    return `on the node whose copy may go: blkmirror down ${device.name}, create-md --force, up`;
  }
  if (/reverted|older state/i.test(peer.reason)) {
    return `on the node that went back: blkmirror resync ${device.name} --full`;
  }
  return `to connect again: ${connect}`;
}
