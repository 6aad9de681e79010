/**
 * What the nodes of a resource do by themselves in split brain: the options after-sb-0pri,
 * after-sb-1pri, after-sb-2pri, rr-conflict and always-asbp of [net], under DRBD's names. What
 * they mean is in rules/splitBrain.ts.
 */
import type { NodeName } from './states';

export const ZERO_POLICIES = [
  'disconnect',
  'discard-younger-primary',
  'discard-older-primary',
  'discard-zero-changes',
  'discard-least-changes',
  'discard-local',
  'discard-remote',
] as const;
export const ONE_POLICIES = [
  'disconnect',
  'consensus',
  'violently-as0p',
  'discard-secondary',
  'call-pri-lost-after-sb',
] as const;
export const TWO_POLICIES = ['disconnect', 'violently-as0p', 'call-pri-lost-after-sb'] as const;
export const CONFLICT_POLICIES = ['disconnect', 'violently', 'call-pri-lost'] as const;

export type ZeroPolicy = (typeof ZERO_POLICIES)[number];
export type OnePolicy = (typeof ONE_POLICIES)[number];
export type TwoPolicy = (typeof TWO_POLICIES)[number];
export type ConflictPolicy = (typeof CONFLICT_POLICIES)[number];

/** As one node has them towards one other. */
export interface SplitBrainPolicies {
  readonly zero: ZeroPolicy;
  readonly one: OnePolicy;
  readonly two: TwoPolicy;
  readonly conflict: ConflictPolicy;
  /** Also where the bitmaps do not tell what both have changed. */
  readonly always: boolean;
}

/** Neither drops anything. */
export const NO_POLICIES: SplitBrainPolicies = {
  zero: 'disconnect',
  one: 'disconnect',
  two: 'disconnect',
  conflict: 'disconnect',
  always: false,
};

export const POLICY_OPTIONS: Readonly<Record<keyof SplitBrainPolicies, string>> = {
  zero: 'after-sb-0pri',
  one: 'after-sb-1pri',
  two: 'after-sb-2pri',
  conflict: 'rr-conflict',
  always: 'always-asbp',
};

/** As configured; `discardNode`: discard-node-NAME stands for `zero`. */
export interface ConfiguredPolicies extends SplitBrainPolicies {
  readonly discardNode?: NodeName;
}

/** What the configuration of `node` means towards `peer`. */
export function policiesTowards(
  { discardNode, ...policies }: ConfiguredPolicies,
  node: NodeName,
  peer: NodeName,
): SplitBrainPolicies {
  if (discardNode === node) return { ...policies, zero: 'discard-local' };
  return discardNode === peer ? { ...policies, zero: 'discard-remote' } : policies;
}
