// What the benchmark makes of its samples: a wrong median or ratio would be a wrong claim.

import { CELLS } from '../../bench/cells';
import type { Sample } from '../../bench/fio';
import { isReached } from '../../bench/findings';
import { median, ratio, summaryOf } from '../../bench/summary';
import { cellLines, findingLines } from '../../bench/table';
import { targetFindings } from '../../bench/targets';
import type { CellResult } from '../../bench/tournament';

function sample(iops: number, cpuUsPerOp = 0): Sample {
  const latencies = { p50Us: 10, p99Us: 20, p999Us: 30 };
  return { iops, mibPerSecond: iops / 256, ...latencies, cpuUsPerOp, othersPercent: 0 };
}

function result(key: string, samples: Readonly<Record<string, readonly Sample[]>>): CellResult {
  const cell = CELLS.find((one) => one.key === key);
  if (cell === undefined) throw new Error(`there is no cell ${key}`);
  const all = Object.entries(samples);
  const figures = all.map(([contender, list]) => ({ contender, samples: list }));
  return { place: 'tmpfs', cell, figures, absent: [] };
}

const won = result('write-4k-qd32', {
  blkmirror: [sample(300, 20), sample(600, 30), sample(900, 40)],
  'qemu quorum': [sample(100, 118), sample(150, 118), sample(300, 118)],
});

test.each([
  [[3], 3],
  [[9, 1, 5], 5],
  [[4, 1, 3, 2], 2.5],
])('the median of %j is %d', (values, middle) => {
  expect(median(values)).toBe(middle);
});

test('a summary takes medians, and says how far the rounds lie apart', () => {
  const [figures] = won.figures;
  if (figures === undefined) throw new Error('no figures');
  const summary = summaryOf(won.cell, figures);
  expect(summary).toMatchObject({ figure: 600, cpuUsPerOp: 30, spreadPercent: 100 });
});

test('a ratio is one of medians, and unknown where one of the two was not measured', () => {
  expect(ratio(won, 'blkmirror', 'qemu quorum')).toBe(4);
  expect(ratio(won, 'blkmirror', 'raw pair')).toBeUndefined();
});

test('targets are judged where their contenders took part', () => {
  const findings = targetFindings([won]);
  expect(findings.map(({ unit, measured }) => [unit, measured])).toEqual([
    ['x qemu quorum', 4],
    ['us', 30],
  ]);
  // 25 of 59 of what quorum takes here: 50.
  expect(findings.map(isReached)).toEqual([true, true]);
  const lost = result('write-4k-qd1', {
    blkmirror: [sample(100)],
    'qemu quorum': [sample(100)],
  });
  expect(targetFindings([lost]).map(isReached)).toEqual([false]);
});

test('the tables name the cell, the contenders, and what was missed', () => {
  const [, title, heads, ours] = cellLines(won);
  expect(title).toBe('4k random write, 32 at once, tmpfs');
  expect(heads).toMatch(/IOPS +MiB\/s/);
  expect(ours).toMatch(/blkmirror +600 +2 +10 +20 +30 +30\.0 +100 %/);
  const missed = { title: 't', measured: 1, target: 2, sense: 'at least', unit: 'x', detail: '' };
  expect(findingLines([{ ...missed, sense: 'at least' }])).toEqual([
    '  missed   t: 1.00 x (at least 2.00)',
  ]);
});
