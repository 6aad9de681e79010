// One line of the verdict: what was aimed at, what was reached. Nothing fails by it.

export interface Finding {
  readonly title: string;
  /** Undefined: could not be measured, `detail` says why. */
  readonly measured: number | undefined;
  readonly target: number;
  readonly sense: 'at least' | 'at most';
  readonly unit: string;
  readonly detail: string;
}

export function isReached({ measured, target, sense }: Finding): boolean {
  if (measured === undefined) return false;
  return sense === 'at least' ? measured >= target : measured <= target;
}
