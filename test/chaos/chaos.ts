// Rounds of faults, each ending with the check that nothing acknowledged was lost and that the
// copies are identical. One line a round; at a failure the seed, the round and the logs' folder.

import { Dice } from '../support/dice';
import { FAULTS } from './faults';
import { World } from './world';

export interface ChaosSpec {
  readonly rounds: number;
  readonly seed: number;
  readonly say: (line: string) => void;
}

const MOST_FAULTS = 3;
/** A round that has not ended by then hangs. */
const ROUND_DEADLINE_MS = 600_000;

/** Rejects at the first round that fails. Answers how often each fault happened. */
export async function chaos(spec: ChaosSpec): Promise<ReadonlyMap<string, number>> {
  const dice = new Dice(spec.seed);
  const counts = new Map(Object.keys(FAULTS).map((kind): [string, number] => [kind, 0]));
  spec.say(`seed ${spec.seed}, ${spec.rounds} rounds`);
  const world = await World.open(spec.seed, dice);
  let round = 0;
  try {
    for (round = 1; round <= spec.rounds; round++) {
      const kinds = choose(dice, counts);
      await withDeadline(playRound(spec, world, round, kinds));
    }
  } catch (error) {
    await world.close(true);
    const again = `npm run chaos -- --rounds ${spec.rounds} --seed ${spec.seed}`;
    spec.say(`FAILED in round ${round}: ${again}`);
    spec.say(`logs and copies: ${world.cluster.folder}`);
    throw error;
  }
  await world.close(false);
  return counts;
}

/** Those that have happened least come first, so that even a short run has most kinds. */
function choose(dice: Dice, counts: Map<string, number>): string[] {
  return Array.from({ length: dice.between(1, MOST_FAULTS) }, () => {
    const least = Math.min(...counts.values());
    const kinds = [...counts.keys()].filter((kind) => counts.get(kind) === least);
    const kind = dice.oneOf(kinds);
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
    return kind;
  });
}

async function playRound(
  spec: ChaosSpec,
  world: World,
  round: number,
  kinds: readonly string[],
): Promise<void> {
  const began = performance.now();
  const { acknowledged, flushed } = world.writers;
  for (const kind of kinds) {
    try {
      await FAULTS[kind]?.(world);
    } catch (error) {
      throw new Error(`${kind}: ${String(error)}`, { cause: error });
    }
  }
  await world.expectAllWell();
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  const writes = `${world.writers.acknowledged - acknowledged} writes`;
  const flushes = `${world.writers.flushed - flushed} flushes`;
  spec.say(`round ${round}: ${kinds.join(', ')}: ${writes}, ${flushes}, ${seconds} s, identical`);
}

async function withDeadline(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const hangs = new Error(`the round hangs: not over after ${ROUND_DEADLINE_MS / 1000} s`);
    timer = setTimeout(() => reject(hangs), ROUND_DEADLINE_MS);
  });
  try {
    await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
