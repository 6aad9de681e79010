/**
 * Reads the configuration: `blkmirror.conf` with defaults for all resources, and
 * `resources.d/<resource>.conf` for each.
 *
 * All problems of a file are found at once. A resource has a configuration only when neither
 * its own file nor blkmirror.conf has a problem. Synchronous: the files are small and local,
 * and whoever asks (start, `up`, reload, command line) goes on only with the answer.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { MirrorError } from '../model/errors';
import type { ResourceName } from '../model/states';
import { buildResource } from './build';
import { MAX_FILE_BYTES, MAX_RESOURCES } from './limits';
import { resourceNameProblem, tryResourceName } from './names';
import { didYouMean } from './nearest';
import { formatProblems, ProblemList } from './problems';
import { readSections } from './sections';
import type { Sections } from './sections';
import type { ConfigProblem, ResourceConfig } from './types';

export const DEFAULTS_FILE = 'blkmirror.conf';
const RESOURCES_DIR = 'resources.d';
const SUFFIX = '.conf';

export interface LoadedResource {
  /** undefined when there is a problem. */
  readonly config: ResourceConfig | undefined;
  readonly problems: readonly ConfigProblem[];
  /** There is no file of that name: the resource is not configured at all. */
  readonly missing: boolean;
}

export interface LoadedConfigs {
  /** Those without problems, sorted by name. */
  readonly configs: readonly ResourceConfig[];
  readonly problems: readonly ConfigProblem[];
}

export function resourceFile(configDir: string, name: string): string {
  return join(configDir, RESOURCES_DIR, name + SUFFIX);
}

/** One resource, with the defaults. Never throws. */
export function loadResource(configDir: string, name: string): LoadedResource {
  const file = resourceFile(configDir, name);
  const nameProblem = resourceNameProblem(name);
  if (nameProblem !== undefined) {
    return {
      config: undefined,
      problems: [{ file, line: 0, message: nameProblem }],
      missing: true,
    };
  }
  return loadWith(loadDefaults(configDir), configDir, name as ResourceName);
}

/**
 * The configuration, or the reason why there is none.
 * @throws NotFound (no such resource), InvalidArgs (problems, one a line)
 */
export function getResource(configDir: string, name: string): ResourceConfig {
  const loaded = loadResource(configDir, name);
  if (loaded.config !== undefined) return loaded.config;
  throw new MirrorError(
    loaded.missing ? 'NotFound' : 'InvalidArgs',
    formatProblems(loaded.problems),
  );
}

/** All resources that have a file. Never throws. */
export function loadAll(configDir: string): LoadedConfigs {
  const defaults = loadDefaults(configDir);
  const problems: ConfigProblem[] = [...defaults.problems];
  const configs: ResourceConfig[] = [];
  const listed = listResources(configDir);
  problems.push(...listed.problems);
  for (const name of listed.names) {
    const loaded = loadWith(defaults, configDir, name);
    if (loaded.config !== undefined) configs.push(loaded.config);
    problems.push(...loaded.problems.filter((problem) => !defaults.problems.includes(problem)));
  }
  return { configs, problems };
}

/** Names of all resources that have a file, right or wrong, sorted; files with other names. */
export function listResources(configDir: string): {
  readonly names: readonly ResourceName[];
  readonly problems: readonly ConfigProblem[];
} {
  const folder = join(configDir, RESOURCES_DIR);
  const problems: ConfigProblem[] = [];
  const names: ResourceName[] = [];
  for (const entry of readFolder(folder, problems)) {
    // Editors leave `.r0.conf.swp` and `r0.conf~` behind; those are no resources.
    if (entry.startsWith('.') || !entry.endsWith(SUFFIX)) continue;
    const text = entry.slice(0, -SUFFIX.length);
    const name = tryResourceName(text);
    const file = join(folder, entry);
    if (name === undefined) {
      const message = `${resourceNameProblem(text) ?? ''} (it is the file's name)`;
      problems.push({ file, line: 0, message });
    } else if (names.length === MAX_RESOURCES) {
      problems.push({
        file,
        line: 0,
        message: `more than ${MAX_RESOURCES} resources; remove some`,
      });
      break;
    } else {
      names.push(name);
    }
  }
  return { names, problems };
}

function readFolder(folder: string, problems: ConfigProblem[]): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') {
      problems.push({ file: folder, line: 0, message: `cannot be read: ${reasonOf(error)}` });
    }
    return [];
  }
}

interface Defaults {
  readonly sections: Sections;
  readonly problems: readonly ConfigProblem[];
}

function loadDefaults(configDir: string): Defaults {
  const problems = new ProblemList(join(configDir, DEFAULTS_FILE));
  const content = tryRead(problems);
  if (content === undefined || content === 'missing')
    return { sections: [], problems: problems.sorted() };
  const sections = readSections(content, problems) ?? [];
  for (const section of sections.filter((other) => other.kind === 'node')) {
    problems.add(
      section.line,
      `${section.name} does not belong in ${DEFAULTS_FILE}; put it in \
${RESOURCES_DIR}/RESOURCE${SUFFIX}`,
    );
  }
  return { sections, problems: problems.sorted() };
}

function loadWith(defaults: Defaults, configDir: string, name: ResourceName): LoadedResource {
  const problems = new ProblemList(resourceFile(configDir, name));
  const content = tryRead(problems);
  const missing = content === 'missing';
  if (missing) {
    const near = didYouMean(name, listResources(configDir).names) || '; write it';
    problems.add(0, `there is no resource ${name}: this file does not exist${near}`);
    return { config: undefined, problems: problems.sorted(), missing };
  }
  const config = content === undefined ? undefined : buildFrom(name, content, defaults, problems);
  const all = [...defaults.problems, ...problems.sorted()];
  return { config: all.length === 0 ? config : undefined, problems: all, missing };
}

function buildFrom(
  name: ResourceName,
  bytes: Buffer,
  defaults: Defaults,
  problems: ProblemList,
): ResourceConfig | undefined {
  const own = readSections(bytes, problems);
  return own && buildResource(name, defaults.sections, own, problems);
}

/** undefined when the file cannot be read, which is a problem; that it is missing is not. */
function tryRead(problems: ProblemList): Buffer | 'missing' | undefined {
  try {
    const status = statSync(problems.file);
    if (!status.isFile()) {
      const what = status.isDirectory() ? 'a directory' : 'no regular file';
      problems.add(0, `this is ${what}; a configuration is a text file`);
    } else if (status.size > MAX_FILE_BYTES) {
      problems.add(0, `the file is too large; at most ${MAX_FILE_BYTES / 1024} KiB are read`);
    } else {
      return readFileSync(problems.file);
    }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return 'missing';
    problems.add(0, `cannot be read: ${reasonOf(error)}`);
  }
  return undefined;
}

function codeOf(error: unknown): string {
  return typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';
}

function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case 'EACCES':
      return 'permission denied; run this as a user who may read it';
    case 'ENOTDIR':
      return 'a part of its path is not a directory';
    case 'ELOOP':
      return 'too many symbolic links';
    default:
      return String(error);
  }
}
