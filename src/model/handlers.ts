/**
 * Programs that the administrator has named for certain events, in [handlers]: their names, and
 * how somebody who runs them is asked. `src/handlers/` runs them in a process of its own.
 */
import type { ResourceName } from './states';

export const HANDLER_NAMES = [
  'fence-peer',
  'unfence-peer',
  'initial-split-brain',
  'split-brain',
  'before-resync-target',
  'after-resync-target',
  'local-io-error',
  'pri-lost',
  'pri-lost-after-sb',
] as const;
export type HandlerName = (typeof HANDLER_NAMES)[number];

export interface HandlerCall {
  readonly name: HandlerName;
  readonly resource: ResourceName;
  /** For `/bin/sh -c`. */
  readonly command: string;
  /** Of its environment, beyond PATH, HOME and TERM. */
  readonly variables: Readonly<Record<string, string>>;
  /** Then it and what it started are killed. */
  readonly timeoutMs: number;
}

/** `failed`: it could not be run, was killed, or did not end in time; in words. */
export type HandlerEnd =
  | { readonly kind: 'exited'; readonly status: number }
  | { readonly kind: 'failed'; readonly message: string };

export interface HandlerRunner {
  /** Resolves when it has ended, at its deadline at the latest; never rejects. */
  run(call: HandlerCall): Promise<HandlerEnd>;
}
