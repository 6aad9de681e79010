// 4k random writes over all of a sparse device of 1 TiB: at first touch nearly every write makes
// an extent hot; the second time the same blocks are written. The narrow figure is that of the
// same device's first GiB, in the same run.

import { startMirror } from '../blkmirror';
import type { Mirror } from '../blkmirror';
import { measure } from '../fio';
import type { Finding } from '../findings';
import { median } from '../summary';

const GIB = 1024 ** 3;
const WIDE_BYTES = 1024 * GIB;
const METADATA_BYTES = GIB;
const WRITES = 150_000;
const ROUNDS = 5;
const WORDS = ['--rw=randwrite', '--bs=4k', '--iodepth=32', `--number_ios=${WRITES}`];

export async function wideWrites(): Promise<readonly Finding[]> {
  const spec = { tmpfs: true, diskBytes: WIDE_BYTES + METADATA_BYTES };
  const mirror = await startMirror({ ...spec, createWords: ['--skip-initial-sync'] });
  try {
    await write(mirror, GIB, 0);
    const rounds: { narrow: number; touch: number; warm: number }[] = [];
    for (let round = 1; round <= ROUNDS; round++) {
      const narrow = await write(mirror, GIB, round);
      const touch = await write(mirror, WIDE_BYTES, round);
      rounds.push({ narrow, touch, warm: await write(mirror, WIDE_BYTES, round) });
    }
    const narrow = median(rounds.map((one) => one.narrow));
    return [
      finding('once warm', median(rounds.map((one) => one.warm)), narrow, 0.9),
      // Later rounds find extents hot already.
      finding('at first touch', rounds[0]?.touch ?? 0, rounds[0]?.narrow ?? 0, 0.5),
    ];
  } finally {
    await mirror.close();
  }
}

async function write(mirror: Mirror, sizeBytes: number, seed: number): Promise<number> {
  const fioWords = [...WORDS, `--randseed=${seed + 1}`];
  return (await measure(mirror, { fioWords, sizeBytes })).iops;
}

function finding(when: string, wide: number, narrow: number, target: number): Finding {
  const title = `4k random write over 1 TiB, 32 at once, ${when}, tmpfs`;
  const detail = `${Math.round(wide)} of ${Math.round(narrow)} IOPS`;
  const measured = wide / narrow;
  return { title, measured, target, sense: 'at least', unit: 'x narrow', detail };
}
