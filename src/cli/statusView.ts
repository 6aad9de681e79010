/**
 * `status` for people: one line for each resource, one indented line for each peer, and below
 * them what is wrong and what to do. Colour by severity; columns line up. Pure.
 */
import type { ConnectionState, DiskState, ReplicationState, Role } from '../model/states';
import { assertNever } from '../model/states';
import type { DeviceStatus, PeerStatus } from '../model/status';
import { deviceHints, peerHints } from './hints';
import { SMALL_BAR_WIDTH } from './limits';
import type { Painter, Severity } from './style';
import { formatBar, formatBytes, formatDuration, formatPercent, formatRate } from './units';

interface Cell {
  readonly text: string;
  readonly severity: Severity;
}

interface Row {
  readonly indent: number;
  /** A line of its own below the row before it, not in columns. */
  readonly note?: Cell;
  readonly cells: readonly Cell[];
}

export function renderStatus(devices: readonly DeviceStatus[], paint: Painter): string {
  const blocks = devices.map((device) => {
    const rows = [...deviceRows(device), ...device.peers.flatMap((peer) => peerRows(device, peer))];
    return { device: rows.filter((row) => row.indent === 0), rows };
  });
  const deviceWidths = columnWidths(blocks.flatMap((block) => block.device));
  const peerWidths = columnWidths(
    blocks.flatMap((block) => block.rows.filter((row) => row.indent > 0)),
  );
  return blocks
    .flatMap((block) => block.rows)
    .map((row) => renderRow(row, row.indent === 0 ? deviceWidths : peerWidths, paint))
    .join('\n');
}

/** Size, rate and time left of a resync that runs, for a bar of any width. */
export function resyncCells(peer: PeerStatus): readonly string[] {
  const parts = [formatPercent(peer.resyncDonePercent ?? 0)];
  const rate = peer.resyncBytesPerSecond;
  if (rate <= 0) return parts;
  parts.push(formatRate(rate));
  if (peer.outOfSyncBytes !== null) {
    parts.push(`${formatDuration(peer.outOfSyncBytes / rate)} left`);
  }
  return parts;
}

export function isResyncing(peer: PeerStatus): boolean {
  return /^(Sync|PausedSync)/.test(peer.replicationState);
}

function deviceRows(device: DeviceStatus): readonly Row[] {
  const cells: Cell[] = [
    { text: device.name, severity: 'strong' },
    { text: device.role, severity: roleSeverity(device.role) },
    { text: device.diskState, severity: diskSeverity(device.diskState) },
    { text: device.sizeBytes === null ? '' : formatBytes(device.sizeBytes), severity: 'plain' },
    { text: device.device ?? device.nbdSocket ?? '', severity: 'plain' },
  ];
  const notes = deviceHints(device).map((hint) => ({
    indent: 0,
    cells: [],
    note: { text: `  ${hint.text}`, severity: hint.severity },
  }));
  return [{ indent: 0, cells }, ...notes];
}

function peerRows(device: DeviceStatus, peer: PeerStatus): readonly Row[] {
  const connected = peer.connectionState === 'Connected';
  const cells: Cell[] = [
    { text: peer.name, severity: 'strong' },
    { text: peer.connectionState, severity: connectionSeverity(peer.connectionState) },
    { text: peer.replicationState, severity: replicationSeverity(peer.replicationState) },
    { text: peer.role, severity: connected ? roleSeverity(peer.role) : 'quiet' },
    { text: peer.diskState, severity: connected ? diskSeverity(peer.diskState) : 'quiet' },
    outOfSyncCell(peer),
  ];
  if (isResyncing(peer)) cells.push(resyncCell(peer));
  const notes = peerHints(device, peer).map((hint) => ({
    indent: 2,
    cells: [],
    note: { text: `  ${hint.text}`, severity: hint.severity },
  }));
  return [{ indent: 2, cells }, ...notes];
}

function outOfSyncCell(peer: PeerStatus): Cell {
  if (peer.outOfSyncBytes === null) return { text: '', severity: 'plain' };
  if (peer.outOfSyncBytes === 0) return { text: 'in sync', severity: 'quiet' };
  return { text: `${formatBytes(peer.outOfSyncBytes)} out of sync`, severity: 'warning' };
}

function resyncCell(peer: PeerStatus): Cell {
  const bar = formatBar((peer.resyncDonePercent ?? 0) / 100, SMALL_BAR_WIDTH);
  return { text: [bar, ...resyncCells(peer)].join('  '), severity: 'busy' };
}

function columnWidths(rows: readonly Row[]): readonly number[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.cells.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.text.length);
    });
  }
  return widths;
}

function renderRow(row: Row, widths: readonly number[], paint: Painter): string {
  const indent = ' '.repeat(row.indent);
  if (row.note !== undefined) return indent + paint(row.note.severity, row.note.text);
  const last = row.cells.findLastIndex((cell) => cell.text !== '');
  const cells = row.cells.slice(0, last + 1).map((cell, column) => {
    const padding = column === last ? 0 : (widths[column] ?? 0) - cell.text.length;
    return paint(cell.severity, cell.text) + ' '.repeat(padding);
  });
  return indent + cells.join('  ');
}

export function roleSeverity(role: Role): Severity {
  return role === 'Primary' ? 'good' : 'plain';
}

export function diskSeverity(state: DiskState): Severity {
  switch (state) {
    case 'UpToDate':
      return 'good';
    case 'Attaching':
    case 'Detaching':
    case 'Negotiating':
    case 'Consistent':
      return 'busy';
    case 'Inconsistent':
    case 'Outdated':
    case 'DUnknown':
      return 'warning';
    case 'Diskless':
    case 'Failed':
      return 'bad';
    default:
      return assertNever(state);
  }
}

export function connectionSeverity(state: ConnectionState): Severity {
  switch (state) {
    case 'Connected':
      return 'good';
    case 'Connecting':
    case 'Unconnected':
    case 'Disconnecting':
      return 'warning';
    case 'StandAlone':
      return 'bad';
    default:
      return assertNever(state);
  }
}

export function replicationSeverity(state: ReplicationState): Severity {
  switch (state) {
    case 'Established':
      return 'good';
    case 'Off':
      return 'quiet';
    case 'PausedSyncS':
    case 'PausedSyncT':
    case 'Ahead':
    case 'Behind':
      return 'warning';
    case 'WFBitMapS':
    case 'WFBitMapT':
    case 'SyncSource':
    case 'SyncTarget':
    case 'VerifyS':
    case 'VerifyT':
      return 'busy';
    default:
      return assertNever(state);
  }
}
