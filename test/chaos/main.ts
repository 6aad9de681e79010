// The command line of `npm run chaos`; called by scripts/chaos.mjs.

import { parseArgs } from 'node:util';
import { chaos } from './chaos';

const USAGE = 'usage: npm run chaos -- [--rounds N] [--seed S]\n';

/** Answers the exit status. */
export async function main(args: readonly string[]): Promise<number> {
  const numbers = readNumbers(args);
  if (numbers === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  try {
    const counts = await chaos({ ...numbers, say });
    for (const [kind, count] of counts) say(`${String(count).padStart(5)}  ${kind}`);
    say(`${numbers.rounds} rounds clean`);
    return 0;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : 'failed'}\n`);
    return 1;
  }
}

function readNumbers(args: readonly string[]): { rounds: number; seed: number } | undefined {
  try {
    const options = { rounds: { type: 'string' }, seed: { type: 'string' } } as const;
    const { values } = parseArgs({ args: [...args], options });
    const rounds = Number(values.rounds ?? '20');
    const seed = Number(values.seed ?? String(Date.now() % 1_000_000));
    return Number.isInteger(rounds) && rounds > 0 && Number.isInteger(seed)
      ? { rounds, seed }
      : undefined;
  } catch {
    return undefined;
  }
}
