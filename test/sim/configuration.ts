/**
 * The configuration of a simulated resource, through the real parser, so that every option has
 * the default it has for users.
 */
import { buildResource } from '../../src/config/build';
import { formatProblems, ProblemList } from '../../src/config/problems';
import { readSections } from '../../src/config/sections';
import type { ResourceConfig } from '../../src/config/types';
import type { ResourceName } from '../../src/model/states';

export const RESOURCE = 'r0';
export const PORT = 7788;

/** Options by `section.key`, as in `net.timeout-ms`. */
export type Options = Readonly<Record<string, string | number>>;

export interface NodePlace {
  readonly name: string;
  readonly address: string;
  readonly disk: string;
  readonly metaDisk: string;
}

export function configure(options: Options, nodes: readonly NodePlace[]): ResourceConfig {
  const problems = new ProblemList(`${RESOURCE}.conf`);
  const text = Buffer.from([...optionLines(options), ...nodes.flatMap(nodeLines)].join('\n'));
  const sections = readSections(text, problems) ?? [];
  const config = buildResource(RESOURCE as ResourceName, [], sections, problems);
  if (config === undefined) throw new Error(formatProblems(problems.sorted()));
  return config;
}

function optionLines(options: Options): string[] {
  const names = [...new Set(Object.keys(options).map((key) => key.split('.')[0] ?? ''))];
  return names.flatMap((section) => [
    `[${section}]`,
    ...Object.entries(options)
      .filter(([key]) => key.startsWith(`${section}.`))
      .map(([key, value]) => `${key.slice(section.length + 1)} = ${value}`),
  ]);
}

function nodeLines({ name, address, disk, metaDisk }: NodePlace): string[] {
  return [
    `[node "${name}"]`,
    `address = ${address}:${PORT}`,
    `disk = ${disk}`,
    `meta-disk = ${metaDisk}`,
  ];
}
