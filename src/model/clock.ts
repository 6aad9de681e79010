/**
 * Time and randomness as the control plane sees them, so that a simulator can run it on a
 * virtual clock with a seed. `resource/system.ts` has the real ones.
 */
import type { Uuid } from './states';

export interface Timer {
  /** Nothing happens when it already ran or was cancelled. */
  cancel(): void;
}

export interface Clock {
  /** Milliseconds of a clock that never goes back. */
  nowMs(): number;
  /** Runs `action` once, not before `delayMs` have passed. Does not keep the process alive. */
  after(delayMs: number, action: () => void): Timer;
}

export interface Random {
  /** A new generation identifier: 64 random bits, never 0 or just created. */
  uuid(): Uuid;
  /** 0 inclusive to 1 exclusive. */
  fraction(): number;
}
