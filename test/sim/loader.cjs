// Loads TypeScript files as they are, for plain Node: `node -r ./test/sim/loader.cjs FILE.ts`.
//
// Each file is transpiled once and kept under node_modules/.cache/sim by the hash of its text;
// types are checked by `npm run lint`. With BLKMIRROR_SIM_EDIT (JSON: file, edits) one source
// file is loaded with those texts replaced: a mutant of mutants.json. A text that is not
// there exactly once ends the process.
//
// It is a transformer of jest, too: then a test runs exactly that (scripts/lib/covering.mjs).
'use strict';

const { createHash } = require('node:crypto');
const { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const Module = require('node:module');
const { join, relative } = require('node:path');

const root = join(__dirname, '..', '..');
const cache = join(root, 'node_modules', '.cache', 'sim');
const edit = JSON.parse(process.env.BLKMIRROR_SIM_EDIT ?? 'null');
const FORMAT = '1';

Module._extensions['.ts'] = (module, file) => {
  module._compile(compiled(file, edited(file, readFileSync(file, 'utf8'))), file);
};

/** What is run of a file, with its source map. */
module.exports.sourceOf = (file) => compiled(file, edited(file, readFileSync(file, 'utf8')));

/** As jest asks for it. */
module.exports.process = (_text, file) => ({ code: module.exports.sourceOf(file) });

function edited(file, text) {
  if (edit === null || relative(root, file) !== edit.file) return text;
  return edit.edits.reduce((changed, { find, replace }) => {
    const parts = changed.split(find);
    if (parts.length === 2) return parts.join(replace);
    process.stderr.write(`${edit.file} has ${parts.length - 1} times: ${find}\n`);
    return process.exit(3);
  }, text);
}

function compiled(file, text) {
  const hash = createHash('sha256').update(`${FORMAT}\0${file}\0${text}`).digest('hex');
  const kept = join(cache, `${hash.slice(0, 40)}.js`);
  if (existsSync(kept)) return readFileSync(kept, 'utf8');
  const code = transpile(file, text);
  mkdirSync(cache, { recursive: true });
  writeFileSync(`${kept}.${process.pid}`, code);
  renameSync(`${kept}.${process.pid}`, kept);
  return code;
}

function transpile(file, text) {
  const ts = require('typescript');
  const { outputText } = ts.transpileModule(text, {
    fileName: file,
    compilerOptions: {
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.CommonJS,
      esModuleInterop: true,
      inlineSourceMap: true,
    },
  });
  return outputText;
}
