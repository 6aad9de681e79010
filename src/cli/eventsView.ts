/**
 * One event as one line: JSON for programs, words for people. Pure.
 */
import type { ConnectionState, DiskState, ReplicationState, Role } from '../model/states';
import type { EventKind, MirrorEvent } from './changes';
import type { JsonValues } from './statusMap';
import { connectionSeverity, diskSeverity, replicationSeverity, roleSeverity } from './statusView';
import { plainPainter } from './style';
import type { Painter } from './style';
import { formatBytes, formatPercent, formatRate } from './units';

type Value = JsonValues[string];

export function renderJsonEvent(event: MirrorEvent, time: Date): string {
  const { resource, peer } = event.owner;
  const place = peer === undefined ? { resource } : { resource, peer };
  return JSON.stringify({
    time: time.toISOString(),
    event: event.kind,
    ...place,
    ...event.values,
  });
}

const WORDS: Readonly<Record<EventKind, string>> = {
  state: 'is',
  up: 'came up:',
  down: 'went down',
  'peer-added': 'is a peer now:',
  'peer-removed': 'is no peer any more',
  changed: '',
};

/** undefined when there is nothing in it that a person wants to read. */
export function renderEvent(event: MirrorEvent, time: Date, paint: Painter): string | undefined {
  const { resource, peer } = event.owner;
  const parts = Object.entries(event.values).flatMap(([name, value]) => {
    const dull = event.kind === 'changed' ? isSilentChange(name, value) : isDull(name, value);
    return dull || name === 'reason' ? [] : [renderChange(event, name, value, paint)];
  });
  const reason = event.values.reason;
  if (typeof reason === 'string' && reason !== '') parts.push(`(${reason})`);
  if (event.kind === 'changed' && parts.length === 0) return undefined;
  const where = paint('strong', peer === undefined ? resource : `${resource} ${peer}`);
  const words = WORDS[event.kind];
  const head = [paint('quiet', clock(time)), where, ...(words === '' ? [] : [words])].join('  ');
  return parts.length === 0 ? head : `${head}  ${parts.join(', ').replace(', (', ' (')}`;
}

function renderChange(event: MirrorEvent, name: string, value: Value, paint: Painter): string {
  const shown = renderValue(name, value, paint);
  const label = LABELS[name] ?? name;
  const before = event.before[name] ?? null;
  if (event.kind !== 'changed' || NUMBERS.has(name) || isDull(name, before)) {
    return `${label} ${shown}`;
  }
  return `${label} ${renderValue(name, before, plainPainter)} -> ${shown}`;
}

const LABELS: Readonly<Record<string, string>> = {
  diskState: 'disk',
  connectionState: 'connection',
  replicationState: 'replication',
  sizeBytes: 'size',
  outOfSyncBytes: 'out of sync',
  resyncDonePercent: 'resync',
  resyncBytesPerSecond: 'at',
  nbdSocket: 'socket',
  currentUuid: 'generation',
  mayPromote: 'may promote',
};

const NUMBERS = new Set(['outOfSyncBytes', 'resyncDonePercent', 'resyncBytesPerSecond']);

function renderValue(name: string, value: Value, paint: Painter): string {
  if (value === null || value === '') return 'none';
  switch (name) {
    case 'role':
      return paint(roleSeverity(value as Role), String(value));
    case 'diskState':
      return paint(diskSeverity(value as DiskState), String(value));
    case 'connectionState':
      return paint(connectionSeverity(value as ConnectionState), String(value));
    case 'replicationState':
      return paint(replicationSeverity(value as ReplicationState), String(value));
    case 'sizeBytes':
    case 'outOfSyncBytes':
      return formatBytes(Number(value));
    case 'resyncBytesPerSecond':
      return formatRate(Number(value));
    case 'resyncDonePercent':
      return formatPercent(Number(value));
    default:
      return typeof value === 'boolean' ? (value ? 'yes' : 'no') : String(value);
  }
}

/** Not worth a word where a state is shown as a whole. */
function isDull(name: string, value: Value): boolean {
  if (name === 'resyncDonePercent' && value === 100) return true;
  return value === null || value === '' || value === false || value === 0;
}

/** A resync that is over shows as a change of the replication state. */
function isSilentChange(name: string, value: Value): boolean {
  if (name === 'resyncBytesPerSecond') return value === 0;
  return name === 'resyncDonePercent' && value === null;
}

function clock(time: Date): string {
  const two = (value: number): string => String(value).padStart(2, '0');
  return [time.getHours(), time.getMinutes(), time.getSeconds()].map(two).join(':');
}
