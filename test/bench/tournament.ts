// All cells at all contenders of a place, interleaved: each round measures every contender once in
// every cell, so that what disturbs the machine meets all of them.

import { CELLS } from './cells';
import type { Cell } from './cells';
import { measure } from './fio';
import type { Sample } from './fio';
import type { Place, PlaceName } from './place';

export interface Figures {
  readonly contender: string;
  readonly samples: readonly Sample[];
}

export interface CellResult {
  readonly place: PlaceName;
  readonly cell: Cell;
  readonly figures: readonly Figures[];
}

export interface TournamentSpec {
  readonly rounds: number;
  readonly seconds: number;
  readonly cells: readonly string[];
  /** Before each measurement: what is measured now, and how many are over, of how many. */
  readonly onProgress: (what: string, done: number, all: number) => void;
}

export async function hold(place: Place, spec: TournamentSpec): Promise<readonly CellResult[]> {
  const cells = CELLS.filter(({ key }) => spec.cells.includes(key));
  const table = cells.map((cell) => ({ cell, rows: place.contenders.map(() => [] as Sample[]) }));
  const all = spec.rounds * cells.length * place.contenders.length;
  let done = 0;
  for (let round = 0; round < spec.rounds; round++) {
    for (const { cell, rows } of table) {
      for (const [index, contender] of place.contenders.entries()) {
        spec.onProgress(`${place.name}: ${cell.title}: ${contender.name}`, done++, all);
        const { fioWords } = cell;
        const work = { fioWords, sizeBytes: place.sizeBytes, seconds: spec.seconds };
        rows[index]?.push(await measure(contender, work));
      }
    }
  }
  return table.map(({ cell, rows }) => ({
    place: place.name,
    cell,
    figures: place.contenders.map(({ name }, index) => ({
      contender: name,
      samples: rows[index] ?? [],
    })),
  }));
}
