/**
 * The known name nearest to one that is not known, for "did you mean". Pure.
 */

/** undefined when nothing is near enough to be meant. */
export function nearestName(wrong: string, known: readonly string[]): string | undefined {
  const text = wrong.toLowerCase();
  let best: string | undefined;
  let bestDistance = Infinity;
  for (const name of known) {
    const distance = similarity(text, name.toLowerCase());
    if (distance >= bestDistance) continue;
    best = name;
    bestDistance = distance;
  }
  const allowed = Math.max(1, Math.floor(text.length / 3));
  return bestDistance <= allowed ? best : undefined;
}

/** `; did you mean X?`, or nothing. */
export function didYouMean(wrong: string, known: readonly string[]): string {
  const name = nearestName(wrong, known);
  return name === undefined ? '' : `; did you mean ${name}?`;
}

/** Edits between both; a name of which the other is the beginning counts as one. */
function similarity(wrong: string, name: string): number {
  const words = (text: string): string => text.replace(/[-_ ]/g, '-');
  const a = words(wrong);
  const b = words(name);
  if (a.length >= 3 && (b.startsWith(`${a}-`) || a.startsWith(`${b}-`))) return 1;
  const shared = a.split('-', 1)[0] ?? '';
  if (shared.length >= 3 && a.includes('-') && b.startsWith(`${shared}-`)) {
    return Math.min(2, editDistance(a, b));
  }
  return editDistance(a, b);
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1] ? 0 : 1;
      let cost = Math.min(
        at(last, column) + 1,
        at(current, column - 1) + 1,
        at(last, column - 1) + same,
      );
      if (a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        cost = Math.min(cost, at(beforeLast, column - 2) + 1);
      }
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return at(last, b.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Infinity;
}
