// A copy that was declared Inconsistent and not written into: when it is what it was, and when not.

import type { NodeName } from '../../../src/model/states';
import type { MetadataPatch } from '../../../src/plane/plane';
import type { Core } from '../../../src/resource/core';
import { StateGate } from '../../../src/resource/stateGate';
import { reviewUntouched, touch } from '../../../src/resource/untouched';
import type { PeerState } from '../../../src/rules/transitions';

const [alpha, gamma] = ['alpha', 'gamma'] as [NodeName, NodeName];
const MIRRORED: Partial<PeerState> = {
  connectionState: 'Connected',
  role: 'Primary',
  diskState: 'UpToDate',
  replicationState: 'Established',
};

interface Copy {
  readonly core: Core;
  /** What was written, or told. */
  readonly patches: (MetadataPatch | { readonly type: string })[];
  /** Looks at it while alpha's connection is in that state. */
  review(negotiating: boolean): Promise<void>;
}

/** Of beta: declared Inconsistent for alpha, and gamma's mirror, as `gammas` says. */
function declared(gammas = MIRRORED, fails = false): Copy {
  const patches: (MetadataPatch | { readonly type: string })[] = [];
  const flags = { currentUuid: 5n, consistent: false, wasUpToDate: true, outdated: false };
  const peers = [
    { name: alpha, slot: 0, fills: true },
    { name: gamma, slot: 1, fills: false },
  ];
  const gate = new StateGate('Inconsistent', [alpha, gamma]);
  gate.propose({ peer: { name: gamma, change: gammas } });
  const core = {
    gate,
    untouched: 'yes',
    device: { metadata: () => ({ ...flags, peers }) },
    report: ({ type }: { type: string }) => patches.push({ type }),
    updateMetadata: async (patch: MetadataPatch) => {
      patches.push(patch);
      await Promise.resolve();
      if (fails) throw new Error('the disk is gone');
      flags.consistent = patch.consistent ?? flags.consistent;
    },
  } as unknown as Core;
  const review = async (isNegotiating: boolean): Promise<void> => {
    reviewUntouched(core, [{ isNegotiating }]);
    await new Promise(setImmediate);
  };
  return { core, patches, review };
}

test('the mirror of a Primary is whole again, once', async () => {
  const { core, patches, review } = declared();
  await review(false);
  expect(patches).toEqual([{ consistent: true, peers: [{ slot: 0, fills: false }] }]);
  expect(core.gate.snapshot().diskState).toBe('UpToDate');
  await review(false);
  expect(patches).toHaveLength(1);
});

test('it waits while another connection is being negotiated', async () => {
  const { patches, review } = declared();
  await review(true);
  expect(patches).toEqual([]);
  await review(false);
  expect(patches).toHaveLength(1);
});

test.each<[string, Partial<PeerState>]>([
  ['a Secondary', { ...MIRRORED, role: 'Secondary' }],
  ['a Primary that waits', { ...MIRRORED, replicationState: 'Off' }],
  ['a Primary that fills it', { ...MIRRORED, replicationState: 'SyncTarget' }],
])('beside %s it stays Inconsistent', async (_name, gammas) => {
  const { patches, review } = declared(gammas);
  await review(false);
  expect(patches).toEqual([]);
});

test('a copy that a peer has written into stays Inconsistent', async () => {
  const { core, patches, review } = declared();
  touch(core);
  await review(false);
  expect(patches).toEqual([]);
});

test('nobody writes into a copy that is being declared whole, or is', async () => {
  const { core, review } = declared();
  const reviewed = review(false);
  expect(() => touch(core)).toThrow('this copy is whole again');
  await reviewed;
  expect(() => touch(core)).toThrow('this copy is whole again');
});

test('where that cannot be written it stays Inconsistent, and is told', async () => {
  const { core, patches, review } = declared(MIRRORED, true);
  await review(false);
  expect(patches).toEqual([
    { consistent: true, peers: [{ slot: 0, fills: false }] },
    { type: 'failed' },
  ]);
  expect(core.gate.snapshot().diskState).toBe('Inconsistent');
});
