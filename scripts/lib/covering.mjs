// How much of the engine and of the rules the simulator reaches, by seeds and by scenarios (tests
// of test/sim that are told with stage.ts). The engine (native/engine) is compiled with gcov's
// counters, by line; the rules (src/rules) are counted by V8, by branch: each arm of if, ?:, &&,
// ||, ?? and switch, each function, and each if without else not taken.
//
// All processes load the rules as test/sim/loader.cjs transpiles them, so that what V8 counted by
// their offsets is added up.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { createRequire, SourceMap } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BUILD, linkWith, recordedCommand, replaced, shell } from './mutating.mjs';
import { npmBin, root, runQuietly } from './tools.mjs';

const FOLDER = join(BUILD, 'coverage');
const ENGINE = join(root, 'native', 'engine');
const RULES = join(root, 'src', 'rules');
const SCENARIOS = join(root, 'test', 'sim');
const LOADER = join(SCENARIOS, 'loader.cjs');
const GCOV_OUTPUT_BYTES = 64 << 20;
const require = createRequire(import.meta.url);

/** The environment in which seeds and scenarios count; compiles the engine with counters. */
export function coveringEnvironment() {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(join(FOLDER, 'v8'), { recursive: true });
  const objects = engineSources().map((file) => {
    const object = `Release/obj.target/blkmirror_core/engine/${file.replace(/\.cc$/, '.o')}`;
    const counted = join(FOLDER, basename(object));
    shell(`${replaced(recordedCommand(object), { [object]: counted })} -O1 --coverage`);
    return counted;
  });
  const addon = join(FOLDER, 'covered.node');
  linkWith(addon, [...objects, '--coverage']);
  return { BLKMIRROR_SIM_ADDON: addon, NODE_V8_COVERAGE: join(FOLDER, 'v8') };
}

/** Files of tests that are scenarios: told with stage.ts. */
export function scenarioFiles() {
  return readdirSync(SCENARIOS)
    .filter((name) => name.endsWith('.test.ts'))
    .filter((name) => readFileSync(join(SCENARIOS, name), 'utf8').includes("from './stage'"))
    .map((name) => `test/sim/${name}`)
    .sort();
}

/** All in one process, as seeds are; whether all of them passed. */
export function runScenarios(files, environment) {
  const transform = JSON.stringify({ '\\.ts$': LOADER });
  const flags = ['--runInBand', '--no-cache', '--transform', transform];
  const env = { ...process.env, ...environment };
  return runQuietly(npmBin('jest'), [...flags, '--runTestsByPath', ...files], { env }) === 0;
}

function engineSources() {
  return readdirSync(ENGINE).filter((file) => file.endsWith('.cc'));
}

/** Of the engine: by file, how many lines there are and which were never run. */
export function engineCoverage() {
  const files = new Map();
  for (const source of engineSources()) {
    const data = join(FOLDER, source.replace(/\.cc$/, '.gcda'));
    if (!existsSync(data)) throw new Error(`${source} was never run: ${data} is not there`);
    const flags = ['--json-format', '--stdout', data];
    const options = { cwd: BUILD, encoding: 'utf8', maxBuffer: GCOV_OUTPUT_BYTES };
    for (const { file, lines } of JSON.parse(execFileSync('gcov', flags, options)).files) {
      if (!/(^|\/)engine\/[^/]+$/.test(file)) continue;
      const counts = files.get(basename(file)) ?? new Map();
      for (const { line_number: line, count } of lines) {
        counts.set(line, (counts.get(line) ?? 0) + count);
      }
      files.set(basename(file), counts);
    }
  }
  return [...files].sort(byName).map(([file, counts]) => ({
    file: `native/engine/${file}`,
    total: counts.size,
    missed: [...counts].filter(([, count]) => count === 0).map(([line]) => line),
  }));
}

/** Of the rules: by file, how many branches there are and the lines of those never taken. */
export function rulesCoverage() {
  const runs = readdirSync(join(FOLDER, 'v8')).map((name) =>
    JSON.parse(readFileSync(join(FOLDER, 'v8', name), 'utf8')),
  );
  const { sourceOf } = require(LOADER);
  return readdirSync(RULES)
    .filter((name) => name.endsWith('.ts'))
    .sort()
    .map((name) => fileCoverage(join(RULES, name), sourceOf(join(RULES, name)), runs));
}

function fileCoverage(file, code, runs) {
  const ranges = runs
    .flatMap(({ result }) => result)
    .filter(({ url }) => url.startsWith('file:') && fileURLToPath(url) === file)
    .map(({ functions }) => functions.flatMap((one) => one.ranges));
  const countAt = (offset) => ranges.reduce((sum, run) => sum + innermost(run, offset), 0);
  const branches = branchesOf(code, countAt);
  const lineOf = lineFinder(code);
  return {
    file: file.slice(root.length + 1),
    total: branches.length,
    missed: branches.filter(({ count }) => count === 0).map(({ at }) => lineOf(at)),
  };
}

function innermost(ranges, offset) {
  let best;
  for (const range of ranges) {
    if (offset < range.startOffset || offset >= range.endOffset) continue;
    if (best === undefined || length(range) <= length(best)) best = range;
  }
  return best?.count ?? 0;
}

function length({ startOffset, endOffset }) {
  return endOffset - startOffset;
}

function branchesOf(code, countAt) {
  const ts = require('typescript');
  const tree = ts.createSourceFile('code.js', code, ts.ScriptTarget.ES2022, true);
  const found = [];
  const add = (node) => found.push({ at: node.getStart(), count: countAt(node.getStart()) });
  const visit = (node) => {
    if (ts.isIfStatement(node)) addIf(node);
    else if (ts.isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach(add);
    else if (ts.isBinaryExpression(node) && isLogical(ts, node)) add(node.right);
    else if (ts.isCaseOrDefaultClause(node)) addClause(node);
    else if (ts.isFunctionLike(node) && node.body !== undefined) addBody(node.body);
    ts.forEachChild(node, visit);
  };
  const addIf = (node) => {
    add(node.thenStatement);
    if (node.elseStatement !== undefined) return add(node.elseStatement);
    const at = node.getStart();
    found.push({ at, count: countAt(at) - countAt(node.thenStatement.getStart()) });
  };
  const addBody = (body) => {
    const at = body.getStart() + (ts.isBlock(body) ? 1 : 0);
    found.push({ at, count: countAt(at) });
  };
  // What types rule out (assertNever) is no branch.
  const addClause = ({ statements }) => {
    const [first] = statements;
    if (first !== undefined && !first.getText().includes('assertNever')) add(first);
  };
  visit(tree);
  return found;
}

function isLogical(ts, { operatorToken: { kind } }) {
  const { AmpersandAmpersandToken, BarBarToken, QuestionQuestionToken } = ts.SyntaxKind;
  return [AmpersandAmpersandToken, BarBarToken, QuestionQuestionToken].includes(kind);
}

/** By the map at the end of the code: the line of the source. */
function lineFinder(code) {
  const encoded = /sourceMappingURL=data:application\/json;base64,(\S+)/.exec(code)?.[1] ?? '';
  const map = new SourceMap(JSON.parse(Buffer.from(encoded, 'base64').toString('utf8')));
  return (offset) => {
    const before = code.slice(0, offset).split('\n');
    const entry = map.findEntry(before.length - 1, before.at(-1).length);
    return (entry.originalLine ?? 0) + 1;
  };
}

function byName([a], [b]) {
  return a < b ? -1 : 1;
}
