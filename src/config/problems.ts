/**
 * What is wrong with configuration files: collecting, sorting and showing it.
 *
 * A problem with line 0 concerns the file as a whole (it is missing or cannot be read).
 */
import { MAX_PROBLEMS_PER_FILE } from './limits';
import type { ConfigProblem } from './types';

/** `file:line: message`, or `file: message` where there is no line. */
export function formatProblem(problem: ConfigProblem): string {
  const place = problem.line > 0 ? `${problem.file}:${problem.line}` : problem.file;
  return `${place}: ${problem.message}`;
}

/** One problem a line, in the order of the files and lines. */
export function formatProblems(problems: readonly ConfigProblem[]): string {
  return problems.map(formatProblem).join('\n');
}

/** The problems of one file while it is read. */
export class ProblemList {
  private readonly problems: ConfigProblem[] = [];

  constructor(readonly file: string) {}

  add(line: number, message: string): void {
    this.problems.push({ file: this.file, line, message });
  }

  get count(): number {
    return this.problems.length;
  }

  /** By line; the first {@link MAX_PROBLEMS_PER_FILE} of them and how many more there are. */
  sorted(): readonly ConfigProblem[] {
    const all = [...this.problems].sort((a, b) => a.line - b.line);
    const shown = all.slice(0, MAX_PROBLEMS_PER_FILE);
    const next = all[MAX_PROBLEMS_PER_FILE];
    if (next === undefined) return shown;
    const more = all.length - MAX_PROBLEMS_PER_FILE;
    return [
      ...shown,
      { file: this.file, line: next.line, message: `${more} more problems from here on` },
    ];
  }
}
