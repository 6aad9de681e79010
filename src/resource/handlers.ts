/**
 * Programs that the administrator has named for certain events. The resource asks for one by
 * name; who runs it, and whether one is configured, is not its business.
 */
import type { NodeName, ResourceName } from '../model/states';

export type HandlerName =
  | 'fence-peer'
  | 'split-brain'
  | 'before-resync-target'
  | 'after-resync-target'
  | 'local-io-error'
  | 'pri-lost';

export interface HandlerFacts {
  readonly resource: ResourceName;
  readonly node: NodeName;
  /** Whom it concerns; absent when it concerns this node alone. */
  readonly peer?: NodeName;
}

export interface Handlers {
  /**
   * Runs the handler to its end, within its deadline. Its exit status, or undefined when none is
   * configured or it could not be run (which is logged there); never rejects.
   */
  run(name: HandlerName, facts: HandlerFacts): Promise<number | undefined>;
}

/** Nothing is configured. */
export const NO_HANDLERS: Handlers = { run: () => Promise.resolve(undefined) };
