/**
 * Was a split brain settled by this verdict, and by what? The verdict itself, which both nodes
 * exchange, only says who copies: for the log and for handlers the handshake is judged again
 * without what settled it. Pure; asked by resource/link.ts.
 */
import { NO_POLICIES, POLICY_OPTIONS } from '../model/policies';
import type { SplitBrainPolicies } from '../model/policies';
import type { Protocol } from '../model/states';
import { decide } from './handshake';
import type { Verdict } from './handshake';
import type { Identity, Side } from './identity';
import { changedBytes } from './splitBrain';

export interface Settlement {
  readonly loser: Side;
  /** `--discard-my-data`, or the options that decided and their values. */
  readonly by: string;
  /** What is given up, in bytes: an upper limit. */
  readonly lostBytes: bigint;
}

/** `undecided`: split brain that nothing settled, or that a Primary has to yield in. */
export function findSplitBrain(
  own: Identity,
  peer: Identity,
  nodes: number,
  protocol: Protocol,
): Settlement | 'undecided' | undefined {
  const verdict = decide(own, peer, nodes, protocol);
  if (isOpen(verdict)) return 'undecided';
  if (verdict.kind !== 'resync') return undefined;
  const without = (change: Partial<Identity>): Verdict =>
    decide({ ...own, ...change }, { ...peer, ...change }, nodes, protocol);
  const loser = verdict.direction === 'target' ? 'own' : 'peer';
  const lostBytes = changedBytes(loser === 'own' ? own : peer);
  if (isOpen(without({ policies: NO_POLICIES }))) {
    return { loser, by: describePolicies(own, peer), lostBytes };
  }
  const unasked = without({ policies: NO_POLICIES, discardMyData: false });
  return isOpen(unasked) ? { loser, by: '--discard-my-data', lostBytes } : undefined;
}

function isOpen(verdict: Verdict): boolean {
  return verdict.kind === 'splitBrain' || verdict.kind === 'yields';
}

function describePolicies(own: Identity, peer: Identity): string {
  const { policies } = own;
  const primaries = [own, peer].filter((copy) => copy.role === 'Primary').length;
  const bySecondary = policies.one === 'discard-secondary';
  const used: (keyof SplitBrainPolicies)[] =
    primaries === 0 ? ['zero'] : bySecondary ? ['one'] : ['one', 'zero'];
  return used.map((key) => `${POLICY_OPTIONS[key]} = ${String(policies[key])}`).join(', ');
}
