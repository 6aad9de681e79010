// The mutants of test/sim/mutants.json: one-line edits of the real engine or rules, each of which
// breaks a safety rule. A source in TypeScript is edited as it is loaded (test/sim/loader.cjs); one
// in C++ is compiled anew and linked with the other objects of the simulator's addon.
// A text that is not in its file exactly once is an error: the table is stale.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { root } from './tools.mjs';

const TABLE = 'test/sim/mutants.json';
export const BUILD = join(root, 'native', 'build');
const TARGET = 'blkmirror_sim';
const CORE = 'blkmirror_core';

/**
 * Of the table: name, rule, breaks, file, edits (find, replace), test (file, name; seeds of a
 * random one) where there is one; `elsewhere`: the seeds cannot meet it.
 */
export function readMutants() {
  const { mutants, elsewhere } = JSON.parse(readFileSync(join(root, TABLE), 'utf8'));
  return [...mutants, ...elsewhere.map((mutant) => ({ ...mutant, elsewhere: true }))];
}

/** The environment in which batch.ts runs that mutant; builds what it needs. */
export function mutantEnvironment(name) {
  const mutant = readMutants().find((one) => one.name === name);
  if (mutant === undefined) throw new Error(`there is no mutant ${name}: see ${TABLE}`);
  const text = editedText(mutant);
  if (mutant.file.endsWith('.ts')) {
    const { file, edits } = mutant;
    return { BLKMIRROR_SIM_EDIT: JSON.stringify({ file, edits }) };
  }
  return { BLKMIRROR_SIM_ADDON: buildMutant(mutant, text) };
}

/** What must be met over many seeds: `made` by the simulator, `hit` as the world counts. */
export function faultNames() {
  const require = createRequire(import.meta.url);
  require(join(root, 'test', 'sim', 'loader.cjs'));
  const { FAULTS, HITS, MET } = require(join(root, 'test', 'sim', 'faults.ts'));
  return { made: FAULTS.map((fault) => fault.name), hit: [...HITS, ...MET] };
}

export function editedText({ file, edits, name }) {
  return edits.reduce(
    (text, { find, replace }) => {
      const parts = text.split(find);
      if (parts.length === 2) return parts.join(replace);
      const times = `${parts.length - 1} times`;
      throw new Error(`mutant ${name} is stale: ${file} has this ${times}: ${find}`);
    },
    readFileSync(join(root, file), 'utf8'),
  );
}

/** The path of the mutant's addon, which may be there from before. */
function buildMutant({ name, file }, text) {
  const source = file.replace(/^native\//, '');
  const object = `Release/obj.target/${CORE}/${source.replace(/\.cc$/, '.o')}`;
  const usual = readFileSync(join(BUILD, 'Release', `${TARGET}.node`));
  const hash = createHash('sha256').update(text).update(usual).digest('hex').slice(0, 16);
  const folder = join(BUILD, 'mutants', name);
  const addon = join(folder, `${hash}.node`);
  if (existsSync(addon)) return addon;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const [mutantSource, mutantObject] = [join(folder, 'mutant.cc'), join(folder, 'mutant.o')];
  writeFileSync(mutantSource, text);
  const compile = recordedCommand(object);
  shell(replaced(compile, { [object]: mutantObject, [`../${source}`]: mutantSource }));
  linkWith(addon, [mutantObject]);
  return addon;
}

/** The simulator's addon anew, with these before the library, whose own are then not needed. */
export function linkWith(addon, objects) {
  const linked = `Release/obj.target/${TARGET}.node`;
  const group = '-Wl,--start-group';
  const words = { [linked]: addon, [group]: `${group} ${objects.join(' ')}` };
  shell(replaced(recordedCommand(linked), words));
}

/** How node-gyp's make built that output. */
export function recordedCommand(output) {
  const deps = join(BUILD, 'Release', '.deps', `${output}.d`);
  const prefix = `cmd_${output} := `;
  const line = existsSync(deps)
    ? readFileSync(deps, 'utf8')
        .split('\n')
        .find((one) => one.startsWith(prefix))
    : undefined;
  if (line === undefined) throw new Error(`${output} was not built here: run npm run build:sim`);
  return line.slice(prefix.length).replace(/-MMD -MF \S+/, '');
}

/** Whole words of a command. */
export function replaced(command, words) {
  return command
    .split(' ')
    .map((word) => words[word] ?? word)
    .join(' ');
}

export function shell(command) {
  execFileSync('/bin/sh', ['-c', command], { cwd: BUILD, stdio: ['ignore', 'ignore', 'pipe'] });
}
