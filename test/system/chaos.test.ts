// Ten rounds of `npm run chaos`, always the same ones, with nearly every kind of fault.

import { chaos } from '../chaos/chaos';

jest.setTimeout(240_000);

const RETURNS_FIRST = 'both killed, the Secondary returns first';

test('ten rounds of faults under four writers lose nothing acknowledged', async () => {
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  try {
    const counts = await chaos({ rounds: 10, seed: 7, say });
    expect([...counts.values()].filter((count) => count > 0).length).toBeGreaterThan(12);
    // HACKING.md names these as the tests of scenarios.
    for (const named of ['orderly switch', 'both killed', RETURNS_FIRST]) {
      expect([named, counts.get(named)]).not.toEqual([named, 0]);
      expect(counts.has(named)).toBe(true);
    }
    expect(lines.filter((line) => line.endsWith('identical'))).toHaveLength(10);
  } catch (error) {
    throw new Error(`${lines.join('\n')}\n${String(error)}`, { cause: error });
  }
});
