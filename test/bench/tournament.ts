// All cells at all contenders of a place, interleaved: each round measures every contender once in
// every cell, so that what disturbs the machine meets all of them.

import type { Cell } from './cells';
import type { Named } from './contender';
import type { Sample } from './fio';

export interface Figures {
  readonly contender: string;
  readonly samples: readonly Sample[];
}

export interface CellResult {
  readonly place: string;
  readonly cell: Cell;
  readonly figures: readonly Figures[];
  /** Those that cannot take part; their settings say why. */
  readonly absent: readonly Named[];
}

/** Those who take part: of each `name`, whatever else is needed to measure it. */
export interface TournamentSpec<C extends { readonly name: string }> {
  /** As the tables call it. */
  readonly place: string;
  readonly contenders: readonly C[];
  readonly absent: readonly Named[];
  readonly cells: readonly Cell[];
  readonly rounds: number;
  readonly measure: (contender: C, cell: Cell, round: number) => Promise<Sample>;
  /** Before each measurement: what is measured now, and how many are over, of how many. */
  readonly onProgress: (what: string, done: number, all: number) => void;
}

export async function hold<C extends { readonly name: string }>(
  spec: TournamentSpec<C>,
): Promise<readonly CellResult[]> {
  const { place, contenders, cells } = spec;
  const table = cells.map((cell) => ({ cell, rows: contenders.map(() => [] as Sample[]) }));
  const all = spec.rounds * cells.length * contenders.length;
  let done = 0;
  for (let round = 0; round < spec.rounds; round++) {
    for (const { cell, rows } of table) {
      for (const [index, contender] of contenders.entries()) {
        spec.onProgress(`${place}: ${cell.title}: ${contender.name}`, done++, all);
        rows[index]?.push(await spec.measure(contender, cell, round));
      }
    }
  }
  return table.map(({ cell, rows }) => ({
    place,
    cell,
    absent: spec.absent,
    figures: contenders.map(({ name }, index) => ({
      contender: name,
      samples: rows[index] ?? [],
    })),
  }));
}
