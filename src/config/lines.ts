/**
 * Where the parts of a loaded configuration stand in its file, for messages about several
 * files at once. Kept beside ResourceConfig, which itself has only what the mirror needs.
 */
import type { ResourceConfig } from './types';

const linesOf = new WeakMap<ResourceConfig, ReadonlyMap<string, number>>();

/** `section` as in the file: `[net]`, `[node "alpha"]`; `option` empty: the section itself. */
export function lineKey(section: string, option: string): string {
  return `${section} ${option}`;
}

export function rememberLines(config: ResourceConfig, lines: ReadonlyMap<string, number>): void {
  linesOf.set(config, lines);
}

/** 1 for a configuration that was not read from a file. */
export function lineOf(config: ResourceConfig, section: string, option: string): number {
  const lines = linesOf.get(config);
  return lines?.get(lineKey(section, option)) ?? lines?.get(lineKey(section, '')) ?? 1;
}
