// The limit: the files themselves, by io_uring past the page cache.

import { fileWords } from './contender';
import type { Contender } from './contender';

export function rawFile(file: string): Contender {
  const settings = 'the file itself, io_uring and O_DIRECT: the limit';
  return idle('raw file', settings, fileWords(file));
}

/** Both replicas' files written at once, by two jobs: what replicating could reach at most. */
export function rawPair(first: string, second: string): Contender {
  const settings = 'both files at once, io_uring and O_DIRECT, a write counts when both have it';
  const fioWords = [...fileWords(first), '--name=second', ...fileWords(second)];
  return { ...idle('raw pair', settings, fioWords), jobsPerOperation: 2 };
}

function idle(name: string, settings: string, fioWords: readonly string[]): Contender {
  return { name, settings, fioWords, pids: [], close: () => Promise.resolve() };
}
