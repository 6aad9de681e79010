// What `npm run test:vm` does once the image and the package are there: prepares what the tests
// share, then runs them by jest, or holds a session. Called by scripts/vm.mjs.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeContext } from './context';
import type { Context } from './context';
import { bootedState, filesDisk } from './prepare';
import { holdSession } from './session';

export interface Wanted {
  /** Of the image. */
  readonly folder: string;
  /** Its files are shown to the guests. */
  readonly content: string;
  readonly logs: string;
  readonly full: boolean;
  /** The socket of a session, instead of tests. */
  readonly session: string | undefined;
}

/** Calls `runTests` with everything prepared; answers its exit status. */
export async function withGuests(
  wanted: Wanted,
  say: (line: string) => void,
  runTests: () => Promise<number>,
): Promise<number> {
  const scratch = mkdtempSync(join(tmpdir(), 'blkmirror-vm-run-'));
  try {
    mkdirSync(wanted.logs, { recursive: true });
    const start = Date.now();
    const { image, booted } = await bootedState(
      wanted.folder,
      await filesDisk(scratch, wanted.content),
    );
    say(`guests: ${image.accelerator} (${((Date.now() - start) / 1000).toFixed(0)} s)`);
    const context: Context = { image, booted, logs: wanted.logs, full: wanted.full };
    writeContext(join(scratch, 'context.json'), context);
    if (wanted.session === undefined) return await runTests();
    await holdSession(context, wanted.session);
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
