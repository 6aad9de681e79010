// How fast a guest is. Emulation slows programs down, and not what waits for a clock.

import type { Guest } from './guest';

/** A machine that is not emulated needs so long to start node, in seconds. */
const NODE_START_S = 0.1;

/** How long node needs to start there, right now, in seconds. */
export async function nodeStart(guest: Guest): Promise<number> {
  const script = 'TIMEFORMAT=%R; time node -e 0';
  const outcome = await guest.run(`( ${script} ) 2>&1`);
  return Number(outcome.stdout.trim());
}

/** What programs did there in that time would take so long without emulation, in seconds. */
export async function withoutEmulation(guest: Guest, seconds: number): Promise<number> {
  return (seconds * NODE_START_S) / (await nodeStart(guest));
}
