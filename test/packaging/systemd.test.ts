// The units as systemd reads them: right, in the right order, hardened, and none that takes a
// device down because the service was restarted.

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository, run } from '../support/systemProcess';

const MOST_EXPOSED = 4.0;
const folder = mkdtempSync(join(tmpdir(), 'blkmirror-units-'));
const units = readdirSync(join(repository, 'systemd')).sort();

beforeAll(() => {
  for (const unit of units) {
    // The programs need not be installed.
    const text = unitText(unit).replace(/\/usr\/bin\/blkmirrord?(?= |$)/gm, '/bin/true');
    writeFileSync(join(folder, unit.replace('@', '@r0')), text);
  }
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

function unitText(unit: string): string {
  return readFileSync(join(repository, 'systemd', unit), 'utf8');
}

/** Words of all lines of that directive. */
function values(unit: string, directive: string): string[] {
  const lines = unitText(unit).matchAll(new RegExp(`^${directive}=(.*)$`, 'gm'));
  return [...lines].flatMap(([, words = '']) => words.split(/\s+/).filter((word) => word !== ''));
}

test('the units are those the documentation names', () => {
  expect(units).toEqual([
    'blkmirror-promote@.service',
    'blkmirror-services@.target',
    'blkmirror@.service',
    'blkmirror@.target',
    'blkmirrord.service',
  ]);
});

test('systemd finds nothing wrong with them', async () => {
  const names = units.map((unit) => unit.replace('@', '@r0'));
  const env = { SYSTEMD_UNIT_PATH: `${folder}:` };
  const outcome = await run('systemd-analyze', ['verify', '--man=no', ...names], { env });
  expect(outcome).toEqual({ status: 0, stdout: '', stderr: '' });
});

test('the service is exposed no more than it has to be', async () => {
  const file = join(folder, 'blkmirrord.service');
  const args = ['security', '--offline=true', '--no-pager', file];
  const { stdout } = await run('systemd-analyze', args);
  const [, exposure] = /exposure level for blkmirrord.service: ([0-9.]+)/.exec(stdout) ?? [];
  expect(Number(exposure)).toBeLessThanOrEqual(MOST_EXPOSED);
});

test.each(units)('%s is not stopped together with the service', (unit) => {
  for (const directive of ['Requires', 'Requisite', 'BindsTo', 'PartOf', 'PropagatesStopTo']) {
    expect(values(unit, directive)).not.toContain('blkmirrord.service');
  }
});

test('everything on one resource begins after the service and ends before it', () => {
  for (const unit of ['blkmirror@.service', 'blkmirror-promote@.service']) {
    expect(values(unit, 'Wants')).toContain('blkmirrord.service');
    expect(values(unit, 'After')).toContain('blkmirrord.service');
    expect(values(unit, 'Before')).toContain('remote-fs-pre.target');
    expect(values(unit, 'RemainAfterExit')).toEqual(['yes']);
  }
  expect(values('blkmirror-promote@.service', 'After')).toContain('blkmirror@%i.service');
  expect(values('blkmirror-services@.target', 'After')).toEqual(['blkmirror-promote@%i.service']);
});

test('cluster managers begin after the service and end before it', () => {
  for (const unit of ['blkmirrord.service', 'blkmirror@.service']) {
    expect(values(unit, 'Before')).toEqual(
      expect.arrayContaining(['pacemaker.service', 'heartbeat.service']),
    );
  }
});
