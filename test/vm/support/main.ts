// What `npm run test:vm` does once the image and the package are there: prepares what the tests
// share, then runs them by jest, or holds a session. Called by scripts/vm.mjs.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { writeContext } from './context';
import type { Context } from './context';
import { bootedState, filesDisk, installedState } from './prepare';
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
    const { image, booted } = await bootedState(
      wanted.folder,
      await filesDisk(scratch, wanted.content),
    );
    const context: Context = {
      image,
      booted,
      installed: await installedState(image, booted, wanted.content, dirname(wanted.logs)),
      logs: wanted.logs,
      full: wanted.full,
    };
    say(`guests run by ${image.accelerator}, ready after ${process.uptime().toFixed(0)} s`);
    writeContext(join(scratch, 'context.json'), context);
    if (wanted.session === undefined) return await runTests();
    await holdSession(context, wanted.session);
    return 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
