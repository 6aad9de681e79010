/**
 * What one seed picks before it begins (swarm testing): sizes, options, clients, and how often
 * each operation and fault comes, many of them never.
 */
import type { Options } from './configuration';
import { Dice } from './dice';
import { MISFITS } from './misfit';
import type { Misfit } from './misfit';
import { drawPolicies, drawRates } from './policies';
import type { ClientHabits } from './simAddon';

const MIB = 1 << 20;
const KIND_ABSENT_ONE_IN = 3;
/** Of devices of several extents, where what is hot cools. */
const WIDE_ONE_IN = 12;
const MISFIT_ONE_IN = 40;
const LEAST_OPERATIONS = 2000;
const LEAST_FAULTS = 20;

export interface Plan {
  readonly seed: number;
  readonly nodes: number;
  readonly diskBytes: number;
  readonly blockBytes: 512 | 4096;
  readonly metaDisk: 'internal' | '/meta';
  readonly options: Options;
  /** The second node begins with a disk that does not fit. */
  readonly misfit: Misfit | undefined;
  readonly latencyUs: readonly [number, number];
  readonly clients: readonly ClientHabits[];
  /** By name of an action (actions.ts); absent: never. */
  readonly weights: ReadonlyMap<string, number>;
  /** Client operations and faults that it has at least. */
  readonly operations: number;
  readonly faults: number;
  /** Actions that follow each other at once, on average. */
  readonly burst: number;
  /** What clients are waited for between two bursts, at most. */
  readonly pauseUs: number;
  /** When clients cannot go on after a burst they are helped, one in so many. */
  readonly reviveOneIn: number;
  /** After a burst everything is healed, one in so many. */
  readonly healOneIn: number;
}

export interface ActionKind {
  readonly name: string;
  readonly weight: number;
  /** With three nodes the loss of a Primary is not simulated. */
  readonly onlyTwo?: boolean;
}

/** `wanted`: so many nodes (2 or 3), whatever the seed has. */
export function drawPlan(seed: number, kinds: readonly ActionKind[], wanted?: number): Plan {
  const dice = new Dice(seed, 1);
  const drawn = dice.oneIn(12) ? 3 : 2;
  const nodes = wanted ?? drawn;
  const blockBytes = dice.oneIn(3) ? 4096 : 512;
  const wide = dice.oneIn(WIDE_ONE_IN);
  // What is hot at a crash is copied in full: most devices are of one small extent or two.
  const small = dice.oneIn(24) ? [5 * MIB] : [MIB / 4, MIB / 4, MIB / 2, MIB];
  const sizes = wide ? [5 * MIB, 5 * MIB, 9 * MIB] : small;
  return {
    seed,
    nodes,
    diskBytes: dice.pick(sizes),
    blockBytes,
    // Where the metadata is on a disk of its own, its flushes leave the data in the cache.
    metaDisk: dice.oneIn(wide ? 2 : 4) ? '/meta' : 'internal',
    options: {
      'resource.device': 'none',
      'net.timeout-ms': dice.pick([300, 500, 1000, 3000]),
      // Only what is beyond it cools while writing goes on.
      'disk.al-extents': dice.oneIn(4) ? 0 : dice.pick([1, 1, 1, 2, 4]),
      ...drawPolicies(new Dice(seed, 3), nodes),
      ...drawRates(new Dice(seed, 6)),
    },
    misfit: drawMisfit(new Dice(seed, 4), nodes),
    latencyUs: dice.oneIn(4) ? [100, 2000] : [20, 120],
    clients: Array.from({ length: dice.between(1, 3) }, () => ({
      ...drawHabits(dice, wide),
      blockBytes,
    })),
    weights: drawWeights(dice, kinds, nodes),
    operations: LEAST_OPERATIONS,
    faults: LEAST_FAULTS,
    burst: dice.pick([1, 3, 3, 4]),
    pauseUs: dice.pick([20_000, 100_000, 500_000]),
    reviveOneIn: dice.pick([1, 2, 3]),
    healOneIn: dice.between(4, 12),
  };
}

function drawMisfit(dice: Dice, nodes: number): Misfit | undefined {
  return nodes === 2 && dice.oneIn(MISFIT_ONE_IN) ? dice.pick(MISFITS) : undefined;
}

function drawHabits(dice: Dice, wide: boolean): ClientHabits {
  return {
    depth: dice.pick([1, 4, 8, 16, 16]),
    pauseUs: dice.pick([500, 2000, 6000]),
    largeOneIn: dice.oneIn(12) ? 20 : 250,
    largeBytes: dice.oneIn(4) ? MIB / 2 : MIB / 16,
    hotBytes: dice.oneIn(4) ? 0 : dice.between(1, 4) * (MIB / 16),
    wide,
    slow: dice.oneIn(8),
    readPercent: dice.between(10, 40),
    flushPercent: dice.pick([0, 2, 3, 10]),
    zeroPercent: dice.pick([0, 5, 15]),
  };
}

function drawWeights(
  dice: Dice,
  kinds: readonly ActionKind[],
  nodes: number,
): ReadonlyMap<string, number> {
  const weights = new Map<string, number>();
  for (const { name, weight, onlyTwo } of kinds) {
    const absent = dice.oneIn(KIND_ABSENT_ONE_IN);
    const scale = dice.pick([0.5, 1, 1, 3]);
    if (!absent && !(onlyTwo === true && nodes > 2)) weights.set(name, weight * scale);
  }
  return weights;
}
