#!/usr/bin/node
// Starts the program beside this file (blkmirrord.js starts blkmirrord.program.js) with what V8 made
// of it before, so that neither a restarted service nor a command compiles it again. That is kept
// below /var/cache/blkmirror by whoever may write there, and used only whole, for exactly this text,
// by the V8 that made it; without it the program is compiled as any other.
'use strict';

const { createHash } = require('node:crypto');
const { mkdirSync, readFileSync, renameSync, writeFileSync } = require('node:fs');
const { basename } = require('node:path');
const Module = require('node:module');
const { Script } = require('node:vm');

const FOLDER = process.env.BLKMIRROR_COMPILE_CACHE ?? '/var/cache/blkmirror';
const HASH_BYTES = 32;
/** A service has done by then what it does at its start. */
const SERVICE_STARTS_MS = 15_000;

const path = module.filename.replace(/\.js$/, '.program.js');
const isService = basename(module.filename) === 'blkmirrord.js';
const kept = `${FOLDER}/${basename(path)}.${process.version}`;
const source = readFileSync(path, 'utf8');

/** Over the program's text too: V8 looks at no more than its length. */
function hashOf(data) {
  return createHash('sha256').update(source).update(data).digest();
}

function tryKept() {
  try {
    const file = readFileSync(kept);
    const data = file.subarray(HASH_BYTES);
    return hashOf(data).equals(file.subarray(0, HASH_BYTES)) ? data : undefined;
  } catch {
    return undefined;
  }
}

/** Where this fails, the next start compiles again. */
function keep() {
  try {
    const data = script.createCachedData();
    const unfinished = `${kept}.${process.pid}`;
    mkdirSync(FOLDER, { recursive: true, mode: 0o755 });
    writeFileSync(unfinished, Buffer.concat([hashOf(data), data]), { mode: 0o644 });
    renameSync(unfinished, kept);
  } catch {
    return;
  }
}

const cachedData = tryKept();
const script = new Script(Module.wrap(source), { filename: path, cachedData });
if (cachedData === undefined || script.cachedDataRejected === true) {
  if (isService) setTimeout(keep, SERVICE_STARTS_MS).unref();
  else process.on('exit', keep);
}
script.runInThisContext()(exports, require, module, path, __dirname);
