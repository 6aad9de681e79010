// Ctrl-C: a benchmark then ends before its next measurement, so that what it started is stopped and
// its files are removed. A second one ends it at once.

let asked = false;

export function heedInterruption(): void {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (asked) process.exit(130);
      asked = true;
    });
  }
}

/** Throws where the end was asked for. */
export function checkInterruption(): void {
  if (asked) throw new Error('interrupted');
}

/** What is said of a run that failed. */
export function failureText(error: unknown): string {
  if (asked) return 'interrupted';
  return error instanceof Error ? (error.stack ?? error.message) : 'failed';
}
