// Split brain in words: in the status, and before anything is discarded.

import { dryRunLines, nothingToDiscard } from '../../../src/cli/splitBrainWords';
import { peerHints } from '../../../src/cli/hints';
import type { SplitBrainStatus } from '../../../src/model/status';
import { device, MIB, peer } from './samples';

const partedMs = Date.UTC(2026, 10, 21, 3, 10, 5, 7);
const splitBrain: SplitBrainStatus = {
  partedMs,
  resyncBytes: 96 * MIB,
  local: {
    role: 'Secondary',
    wasPrimary: 'afterwards',
    changedBytes: 32 * MIB,
    partedMs: partedMs + 1,
    promotedMs: partedMs + 1000,
  },
  peer: {
    role: 'Primary',
    wasPrimary: 'whenParted',
    changedBytes: 64 * MIB,
    partedMs,
    promotedMs: null,
  },
};
const beta = peer({ connectionState: 'StandAlone', reason: 'split brain: …', splitBrain });

test('the status says when they parted, what each wrote and what giving up costs', () => {
  expect(peerHints(device(), beta).map((hint) => hint.text)).toEqual([
    'split brain: …',
    'parted: 2026-11-21 03:10:05 UTC',
    'here: Secondary now, became Primary afterwards, 2026-11-21 03:10:06 UTC; 32 MiB written since',
    'on beta: Primary now, was Primary when they parted; 64 MiB written since',
    'giving up what was written here loses 32 MiB',
    'to give up what was written here: blkmirror connect r0 beta --discard-my-data; on the other ' +
      'node: connect',
  ]);
});

test('a dry run tells what would be lost and copied, and which command does it', () => {
  const lines = dryRunLines('r0', beta);
  expect(lines[0]).toBe('r0 is in split brain with beta');
  expect(lines.slice(4)).toEqual([
    'connect --discard-my-data here would throw away the 32 MiB that were written here since, ' +
      'and copy up to 96 MiB from beta',
    'the 64 MiB that beta wrote would be kept; nothing was changed yet',
    'to do it: blkmirror connect r0 beta --discard-my-data',
    'to keep this side instead, on beta: blkmirror connect r0 --discard-my-data',
  ]);
});

test('without split brain there is nothing to discard', () => {
  const connected = 'r0 is connected to beta: there is no split brain, nothing is discarded';
  expect(dryRunLines('r0', peer())).toEqual([connected]);
  expect(nothingToDiscard('r0', peer({ connectionState: 'StandAlone' }))).toBe(
    'r0 knows of no split brain with beta, nothing is discarded',
  );
});

test('what is unknown is said to be', () => {
  const unknown = { ...splitBrain, partedMs: null };
  expect(dryRunLines('r0', { ...beta, splitBrain: unknown })[1]).toBe('parted: at an unknown time');
});
