/**
 * Sections of one file with their values: the scanner's lines and `ini`'s values put together,
 * names and values checked against the schema. Called by load.ts.
 */
import * as ini from 'ini';
import type { ProblemList } from './problems';
import { scan, sectionName } from './scanner';
import type { ScannedSection } from './scanner';
import { optionProblem, tryKind, unknownSection, valueProblem } from './schema';
import type { SectionKind } from './schema';
import { nodeNameProblem } from './names';

export interface Option {
  readonly value: string;
  readonly line: number;
  /** The value is right. */
  readonly valid: boolean;
}

export interface Section {
  readonly kind: SectionKind;
  /** As in the file: `[net]`, `[node "alpha"]`. */
  readonly name: string;
  /** NAME of a node section; empty for others. */
  readonly label: string;
  readonly line: number;
  /** Known options, those with a wrong value too. */
  readonly options: ReadonlyMap<string, Option>;
}

export type Sections = readonly Section[];

/** undefined when the file is no text; `problems` then says so. */
export function readSections(bytes: Buffer, problems: ProblemList): Sections | undefined {
  const scanned = scan(bytes, problems);
  if (scanned === undefined) return undefined;
  const values = ini.parse(scanned.iniText, { bracketedArray: false });
  const sections: Section[] = [];
  scanned.sections.forEach((section, index) => {
    const kind = tryKind(section.kind);
    const problem = kind === undefined ? unknownSection(section.kind) : labelProblem(kind, section);
    if (problem !== undefined) problems.add(section.line, problem);
    if (kind === undefined) return;
    const options = readOptions(kind, section, values[`s${index}`], problems);
    const name = sectionName(section.kind, section.label);
    sections.push({ kind, name, label: section.label ?? '', line: section.line, options });
  });
  return sections;
}

function labelProblem(kind: SectionKind, section: ScannedSection): string | undefined {
  if (kind === 'node') {
    if (section.label === undefined) return 'which node? write [node "NAME"]';
    return nodeNameProblem(section.label);
  }
  return section.label === undefined ? undefined : `[${kind}] has no name; write [${kind}]`;
}

function readOptions(
  kind: SectionKind,
  section: ScannedSection,
  values: unknown,
  problems: ProblemList,
): ReadonlyMap<string, Option> {
  const options = new Map<string, Option>();
  for (const { name, line } of section.keys) {
    const unknown = optionProblem(kind, name);
    if (unknown !== undefined) {
      problems.add(line, unknown);
      continue;
    }
    const value = tryValue(values, name);
    const problem = value === undefined ? undefined : valueProblem(kind, name, value);
    if (problem !== undefined) problems.add(line, problem);
    // Without a value the scanner has said what is wrong.
    options.set(name, {
      value: value ?? '',
      line,
      valid: value !== undefined && problem === undefined,
    });
  }
  return options;
}

/** `ini` turns `true`, `false` and `null` into values of those types. */
function tryValue(values: unknown, name: string): string | undefined {
  if (typeof values !== 'object' || values === null || !Object.hasOwn(values, name)) {
    return undefined;
  }
  return String((values as Record<string, unknown>)[name]);
}
