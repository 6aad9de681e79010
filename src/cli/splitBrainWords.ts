/**
 * Split brain in plain words, with the numbers of both sides: for `status` and for
 * `connect --discard-my-data --dry-run`. Pure.
 */
import type { PeerStatus, SplitBrainSide, SplitBrainStatus } from '../model/status';
import { formatBytes } from './units';

/** One line for each side, and what giving up the local side would cost. */
export function splitBrainLines(peer: PeerStatus): readonly string[] {
  const { splitBrain } = peer;
  if (splitBrain === null) return [];
  return [
    `parted: ${formatTime(splitBrain.partedMs)}`,
    `here: ${describeSide(splitBrain.local)}`,
    `on ${peer.name}: ${describeSide(splitBrain.peer)}`,
    `giving up what was written here loses ${formatBytes(splitBrain.local.changedBytes)}`,
  ];
}

/** What `connect --discard-my-data` would do towards this peer. */
export function dryRunLines(resource: string, peer: PeerStatus): readonly string[] {
  if (peer.splitBrain === null) return [nothingToDiscard(resource, peer)];
  const { local, resyncBytes } = peer.splitBrain;
  return [
    `${resource} is in split brain with ${peer.name}`,
    ...splitBrainLines(peer).slice(0, 3),
    `connect --discard-my-data here would throw away the ${formatBytes(local.changedBytes)} that ` +
      `were written here since, and copy up to ${formatBytes(resyncBytes)} from ${peer.name}`,
    `${keptElsewhere(peer.splitBrain, peer.name)}; nothing was changed yet`,
    `to do it: blkmirror connect ${resource} ${peer.name} --discard-my-data`,
    `to keep this side instead, on ${peer.name}: blkmirror connect ${resource} --discard-my-data`,
  ];
}

/** Why discarding does nothing towards a peer. */
export function nothingToDiscard(resource: string, peer: PeerStatus): string {
  const state =
    peer.connectionState === 'Connected'
      ? `is connected to ${peer.name}: there is no split brain`
      : `knows of no split brain with ${peer.name}`;
  return `${resource} ${state}, nothing is discarded`;
}

function keptElsewhere({ peer }: SplitBrainStatus, name: string): string {
  return `the ${formatBytes(peer.changedBytes)} that ${name} wrote would be kept`;
}

function describeSide(side: SplitBrainSide): string {
  const changed = `${formatBytes(side.changedBytes)} written since`;
  const primary = {
    whenParted: 'was Primary when they parted',
    afterwards: `became Primary afterwards, ${formatTime(side.promotedMs)}`,
    never: 'was not Primary',
  }[side.wasPrimary];
  return `${side.role} now, ${primary}; ${changed}`;
}

/** `2026-11-21 03:10:00 UTC`. */
function formatTime(timeMs: number | null): string {
  if (timeMs === null) return 'at an unknown time';
  return new Date(timeMs).toISOString().replace('T', ' ').replace(/\..*/, ' UTC');
}
