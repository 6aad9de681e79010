// Identities for the tables of the rules: one plain UpToDate copy, and variations of it.

import { JUST_CREATED_UUID } from '../../src/model/states';
import { NO_POLICIES } from '../../src/model/policies';
import type { Identity } from '../../src/rules/identity';

export const GENERATIONS = { none: 0n, created: JUST_CREATED_UUID, a: 0xan, b: 0xbn, c: 0xcn };
const { a } = GENERATIONS;

export const PLAIN: Identity = {
  currentUuid: a,
  bitmapUuid: 0n,
  otherBitmapUuids: [],
  historyUuids: [],
  consistent: true,
  wasUpToDate: true,
  outdated: false,
  crashed: false,
  crashedPrimary: false,
  crashedMachine: false,
  resuming: false,
  role: 'Secondary',
  diskState: 'UpToDate',
  exposedUuid: 0n,
  generation: 5n,
  metGeneration: 5n,
  rememberedGeneration: 5n,
  writeSequence: 100n,
  sizeBytes: 1n << 30n,
  blockBytes: 512,
  outOfSyncBytes: 0n,
  fullSync: false,
  promotedApart: false,
  partedMs: 0,
  promotedMs: 0,
  policies: NO_POLICIES,
  rank: 0,
  discardMyData: false,
  takeMeBack: false,
  knowsPrimary: false,
  resyncsFromOther: false,
};

export function identity(changes: Partial<Identity> = {}): Identity {
  return { ...PLAIN, ...changes };
}

export function inconsistent(changes: Partial<Identity> = {}): Identity {
  return identity({ consistent: false, diskState: 'Inconsistent', ...changes });
}

/** As create-md leaves it. */
export function fresh(changes: Partial<Identity> = {}): Identity {
  const bits = {
    outOfSyncBytes: PLAIN.sizeBytes,
    generation: 1n,
    metGeneration: 0n,
    rememberedGeneration: 0n,
  };
  return inconsistent({ currentUuid: JUST_CREATED_UUID, wasUpToDate: false, ...bits, ...changes });
}

type Axis = readonly Partial<Identity>[];

/** Every combination of one entry from each axis. */
export function product(...axes: readonly Axis[]): Identity[] {
  let all: Identity[] = [PLAIN];
  for (const axis of axes) {
    all = all.flatMap((base) => axis.map((changes) => ({ ...base, ...changes })));
  }
  return all;
}
