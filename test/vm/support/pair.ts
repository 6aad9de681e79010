// Two guests on one wire, alpha and beta, and the tests that are told with them. One pair for each
// test file: `const { alpha, beta } = guestPair('name')`, then its `test`s, in order.
// Consoles, and the journals of a test that failed, go to the logs folder.

import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readContext } from './context';
import type { Context } from './context';
import { Guest } from './guest';

const TEST_DEADLINE_MS = 600_000;
const JOURNAL_DEADLINE_MS = 60_000;

/** What is in the guests when they are switched on: a system, or also the package. */
export type From = 'booted' | 'installed';

export class GuestPair {
  private constructor(
    readonly context: Context,
    readonly alpha: Guest,
    readonly beta: Guest,
    private readonly folder: string,
    private readonly logs: string,
  ) {}

  /** Not switched on; `name` is that of the folder with its logs. */
  static async create(context: Context, name: string, from: From): Promise<GuestPair> {
    const logs = join(context.logs, name);
    rmSync(logs, { recursive: true, force: true });
    mkdirSync(logs, { recursive: true });
    const folder = mkdtempSync(join(tmpdir(), 'blkmirror-vm-'));
    const { image, [from]: base } = context;
    const guest = (own: string, other: string): Promise<Guest> =>
      Guest.create({ image, name: own, other, folder, base });
    const alpha = await guest('alpha', 'beta');
    return new GuestPair(context, alpha, await guest('beta', 'alpha'), folder, logs);
  }

  get both(): readonly [Guest, Guest] {
    return [this.alpha, this.beta];
  }

  /** Runs the same script on both, side by side. */
  onBoth(script: string, options: { deadlineMs?: number } = {}): Promise<string[]> {
    return Promise.all(this.both.map((guest) => guest.runOk(script, options)));
  }

  async start(): Promise<void> {
    await Promise.all(this.both.map((guest) => guest.start()));
  }

  /** Ends the guests and removes their disks. */
  async end(): Promise<void> {
    await Promise.all(this.both.map((guest) => guest.powerOff()));
    for (const name of readdirSync(this.folder)) {
      if (name.endsWith('.log')) copyFileSync(join(this.folder, name), join(this.logs, name));
    }
    rmSync(this.folder, { recursive: true, force: true });
  }

  async keepJournals(): Promise<void> {
    const script = 'journalctl --no-pager --lines 3000 -o short-precise; dmesg; ps axf; df; lsblk';
    for (const guest of this.both.filter((each) => each.isOn)) {
      const outcome = await guest
        .run(script, { deadlineMs: JOURNAL_DEADLINE_MS })
        .catch((error: unknown) => ({ stdout: String(error) }));
      writeFileSync(join(this.logs, `${guest.name}.journal.log`), outcome.stdout);
    }
  }

  /** Where somebody looks after a failure. */
  get logsFolder(): string {
    return this.logs;
  }
}

export type Step = (title: string, body: () => Promise<void>, deadlineMs?: number) => void;

/**
 * The pair of a test file, on before its first test, and the `step`s that are its tests. Each goes
 * on from where the one before it ended: after one that failed the others fail at once.
 */
export function guestPair(
  name: string,
  from: From = 'installed',
): { pair: () => GuestPair; step: Step } {
  let opened: GuestPair | undefined;
  const pair = (): GuestPair => {
    if (opened === undefined) throw new Error('the guests are there only within tests');
    return opened;
  };
  beforeAll(async () => {
    opened = await GuestPair.create(readContext(), name, from);
    await opened.start();
  }, TEST_DEADLINE_MS);
  afterAll(async () => {
    await opened?.end();
  }, TEST_DEADLINE_MS);
  let failed = false;
  const step: Step = (title, body, deadlineMs = TEST_DEADLINE_MS) => {
    test(
      title,
      async () => {
        if (failed) throw new Error('a step before it has failed');
        try {
          await body();
        } catch (error) {
          failed = true;
          await pair().keepJournals();
          throw error;
        }
      },
      deadlineMs,
    );
  };
  return { pair, step };
}
