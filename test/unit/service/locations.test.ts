// The remembered places of superblocks: kept over a restart, bound to the disk, harmless when lost.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { ResourceName } from '../../../src/model/states';
import { Locations } from '../../../src/service/locations';

const R0 = 'r0' as ResourceName;
const log = pino({ level: 'silent' });
let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'blkmirror-locations-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

test('a place is there again after a restart, for the same disk only', () => {
  new Locations(folder, log).put(R0, '/dev/a', 67_100_672n);
  const again = new Locations(folder, log);
  expect(again.tryGet(R0, '/dev/a')).toBe(67_100_672n);
  expect(again.tryGet(R0, '/dev/b')).toBeUndefined();
  expect(again.tryGet('r1' as ResourceName, '/dev/a')).toBeUndefined();
});

test.each(['', '{', '[]', '{"disk":"/dev/a","offsetBytes":"x"}', '{"disk":1}'])(
  'what is not a place is ignored: %s',
  (text) => {
    writeFileSync(join(folder, 'r0.json'), text);
    expect(new Locations(folder, log).tryGet(R0, '/dev/a')).toBeUndefined();
  },
);

test('a folder that is gone does no harm', () => {
  const locations = new Locations(join(folder, 'gone'), log);
  locations.put(R0, '/dev/a', 1n);
  expect(locations.tryGet(R0, '/dev/a')).toBeUndefined();
});
