// Sizes, rates, percentages, durations and bars as people read them.

import {
  formatBar,
  formatBytes,
  formatDuration,
  formatPercent,
  formatRate,
} from '../../../src/cli/units';

test.each<[number, string]>([
  [0, '0 B'],
  [512, '512 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [1536, '1.5 KiB'],
  [64 * 1024, '64 KiB'],
  [1024 * 1024 - 1, '1 MiB'],
  [150.4 * 1024 * 1024, '150 MiB'],
  [2 ** 40, '1 TiB'],
  [2 ** 63, '8 EiB'],
])('%d bytes', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test('a rate', () => {
  expect(formatRate(120.5 * 1024 * 1024)).toBe('121 MiB/s');
});

test.each<[number, string]>([
  [0, '0.0%'],
  [99.99, '99.9%'],
  [100, '100%'],
  [120, '100%'],
  [-1, '0.0%'],
  [45.25, '45.2%'],
])('%d percent', (percent, text) => {
  expect(formatPercent(percent)).toBe(text);
});

test.each<[number, string]>([
  [0.2, '0 s'],
  [59.4, '59 s'],
  [60, '1 min 00 s'],
  [185, '3 min 05 s'],
  [7800, '2 h 10 min'],
  [273_600, '3 d 4 h'],
  [-5, '0 s'],
])('%d seconds', (seconds, text) => {
  expect(formatDuration(seconds)).toBe(text);
});

test('a bar is full only at the end', () => {
  expect(formatBar(0, 10)).toBe('[..........]');
  expect(formatBar(0.999, 10)).toBe('[#########.]');
  expect(formatBar(1, 10)).toBe('[##########]');
  expect(formatBar(7, 10)).toBe('[##########]');
});
