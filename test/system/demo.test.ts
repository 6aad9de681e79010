// The demo does what it says, also a second time and at once after Ctrl-C, and leaves nothing.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { repository, run } from '../support/systemProcess';

/** Ten times what a quiet machine takes. */
const DEADLINE_MS = 200_000;

jest.setTimeout(DEADLINE_MS + 10_000);

const DEMO = join(repository, 'scripts/demo.mjs');
let scratch: string;

beforeEach(() => {
  scratch = mkdtempSync(join(tmpdir(), 'blkmirror-demo-test-'));
});

afterEach(() => {
  expect(readdirSync(scratch)).toEqual([]);
  rmSync(scratch, { recursive: true });
});

test('the demo ends well and cleans up', async () => {
  const { status, stdout, stderr } = await run(process.execPath, [DEMO], {
    env: { TMPDIR: scratch },
    deadlineMs: DEADLINE_MS,
  });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  expect(stdout).toMatch(/beta took over after/);
  expect(stdout).toMatch(/no acknowledged write is lost/);
  expect(stdout).toMatch(/identical/);
});

test('Ctrl-C in the middle of the demo cleans up', async () => {
  const child = spawn(process.execPath, [DEMO], {
    env: { ...process.env, TMPDIR: scratch },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    shown += text;
    if (text.includes('over NBD')) child.kill('SIGINT');
  });
  const [status] = (await once(child, 'close')) as [number | null];
  expect(status).toBe(130);
  expect(shown).toMatch(/Cleaning up/);
});
