// Fuzzes what reads a peer's control frames (JSON), guided by V8's own block coverage:
// node scripts/fuzz/control.mjs [--seconds N] [--seed N] | --replay
// Any text must be read or refused, never throw anything else, and what was read must survive
// being written and read again; the handshake rules must answer for any two copies.
// Inputs that reach something new are kept in test/fuzz/corpus/control_json.

import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { Session } from 'node:inspector/promises';
import { createRequire } from 'node:module';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { join } from 'node:path';
import { root } from '../lib/tools.mjs';

const require = createRequire(import.meta.url);
const { parseHello, formatHello } = require(join(root, 'dist', 'resource', 'hello.js'));
const { parseFrame, formatFrame } = require(join(root, 'dist', 'resource', 'frames.js'));
const { FieldError } = require(join(root, 'dist', 'resource', 'validator.js'));
const { decide, sameVerdict, swapVerdict } = require(join(root, 'dist', 'rules', 'handshake.js'));

const CORPUS = join(root, 'test', 'fuzz', 'corpus', 'control_json');
const BATCH = 500;
const MOST_BYTES = 8192;

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    replay: { type: 'boolean', default: false },
  },
});

let state = (Number(values.seed) * 2654435761) >>> 0 || 1;

/** A whole number from 0 to below `limit`. */
function below(limit) {
  state ^= state << 13;
  state >>>= 0;
  state ^= state >>> 17;
  state ^= state << 5;
  state >>>= 0;
  return state % limit;
}

function pick(list) {
  return list[below(list.length)];
}

let lastIdentity;

/** Throws when something is wrong with how `text` is read. */
function check(text) {
  const parsed = parseHello(text);
  if (parsed.kind === 'hello') checkHello(parsed.hello);
  let frame;
  try {
    frame = parseFrame(text);
  } catch (error) {
    if (error instanceof FieldError) return;
    throw error;
  }
  if (frame.type === 'hello' || frame.type === 'refused') return;
  const again = parseFrame(formatFrame(frame));
  if (!isDeepStrictEqual(again, frame)) throw new Error('a frame changes when written again');
}

function checkHello(hello) {
  const again = parseHello(formatHello(hello));
  if (again.kind !== 'hello' || !isDeepStrictEqual(again.hello, hello)) {
    throw new Error('a hello changes when written again');
  }
  const own = lastIdentity ?? hello.identity;
  lastIdentity = hello.identity;
  const verdict = decide(own, hello.identity, 2);
  if (own.rank === hello.identity.rank) return;
  const seenFromThere = swapVerdict(decide(hello.identity, own, 2));
  if (!sameVerdict(verdict, seenFromThere)) {
    const both = JSON.stringify([own, hello.identity], (_, v) =>
      typeof v === 'bigint' ? String(v) : v,
    );
    throw new Error(`the two ends decide differently: ${both}`);
  }
}

const ODD = [
  0,
  -1,
  1,
  31,
  32,
  2 ** 31,
  2 ** 53,
  1e308,
  -0.5,
  null,
  true,
  false,
  '',
  'r0',
  '0'.repeat(16),
  'f'.repeat(16),
  '0000000000000004',
  'F'.repeat(16),
  'x'.repeat(5000),
  '\u0000',
  '\ud800',
  [],
  {},
  [[]],
  { a: {} },
  '__proto__',
  'constructor',
  'resync',
  'inSync',
  'state',
  'hello',
  'Primary',
];

function copyOf(value) {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

function odd() {
  return copyOf(pick(ODD));
}

/** One change somewhere in the tree, or in the text itself. */
function mutate(text, other) {
  if (below(6) === 0) return mutateText(text, other);
  let tree;
  try {
    tree = JSON.parse(text);
  } catch {
    return mutateText(text, other);
  }
  for (let times = 1 + below(4); times > 0; times -= 1) mutateTree(tree);
  return JSON.stringify(tree) ?? '';
}

function mutateTree(tree) {
  let node = tree;
  for (let depth = below(4); depth > 0; depth -= 1) {
    const inner = Object.values(node ?? {}).filter((value) => typeof value === 'object' && value);
    if (inner.length === 0) break;
    node = pick(inner);
  }
  if (typeof node !== 'object' || node === null) return;
  const keys = Object.keys(node);
  if (keys.length === 0 || below(10) === 0) node[pick(['a', '__proto__', 'type', 'kind'])] = odd();
  else if (below(8) === 0) delete node[pick(keys)];
  else if (below(3) === 0) node[pick(keys)] = copyOf(node[pick(keys)]);
  else node[pick(keys)] = below(4) === 0 ? near(node[pick(keys)]) : odd();
}

/** A value like this one. */
function near(value) {
  if (typeof value === 'boolean') return !value;
  if (typeof value === 'number') return value + pick([-1, 1, 0.5, 256]);
  if (typeof value === 'string' && /^[0-9a-f]{16}$/.test(value)) {
    return (BigInt(`0x${value}`) ^ (1n << BigInt(below(64)))).toString(16).padStart(16, '0');
  }
  if (Array.isArray(value))
    return Array.from({ length: value.length + 1 + below(40) }, () => odd());
  return odd();
}

function mutateText(text, other) {
  const at = below(text.length + 1);
  const to = Math.min(text.length, at + below(16));
  switch (below(4)) {
    case 0:
      return text.slice(0, at) + text.slice(to);
    case 1:
      return text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at);
    case 2:
      return text.slice(0, at) + other.slice(below(other.length + 1));
    default:
      return text.slice(0, to) + text.slice(at);
  }
}

function run(text) {
  try {
    check(text);
  } catch (error) {
    process.stderr.write(`control_json: ${error.stack}\ninput: ${JSON.stringify(text)}\n`);
    process.exit(1);
  }
}

function corpus() {
  return readdirSync(CORPUS)
    .sort()
    .map((name) => readFileSync(join(CORPUS, name), 'utf8'));
}

function keep(text) {
  const name = createHash('sha256').update(text).digest('hex').slice(0, 16);
  writeFileSync(join(CORPUS, name), text);
}

/** What was executed since the last call, as one key for each block of our own programs. */
async function blocks(session) {
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const ours = result.filter(({ url }) => url.includes('/dist/'));
  return ours.flatMap(({ url, functions }) =>
    functions.flatMap(({ ranges }) =>
      ranges
        .filter(({ count }) => count > 0)
        .map(({ startOffset, endOffset }) => `${url}:${startOffset}:${endOffset}`),
    ),
  );
}

async function fuzz() {
  const session = new Session();
  session.connect();
  await session.post('Profiler.enable');
  await session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true });
  const seen = new Set();
  const kept = corpus();
  const isNew = async (texts) => {
    texts.forEach(run);
    const fresh = (await blocks(session)).filter((key) => !seen.has(key));
    return fresh;
  };
  for (const key of await isNew(kept)) seen.add(key);
  const end = Date.now() + Number(values.seconds) * 1000;
  let inputs = 0;
  while (Date.now() < end) {
    const batch = Array.from({ length: BATCH }, () => mutate(pick(kept), pick(kept)));
    const texts = batch.filter((text) => text.length <= MOST_BYTES);
    inputs += texts.length;
    if ((await isNew(texts)).length === 0) continue;
    for (const text of texts) {
      const fresh = await isNew([text]);
      if (fresh.length === 0) continue;
      fresh.forEach((key) => seen.add(key));
      kept.push(text);
      keep(text);
    }
  }
  process.stdout.write(
    `control_json: ${inputs} inputs, ${seen.size} blocks, ${kept.length} inputs kept\n`,
  );
}

mkdirSync(CORPUS, { recursive: true });
if (values.replay) {
  const texts = corpus();
  texts.forEach(run);
  process.stdout.write(`control_json: ${texts.length} inputs\n`);
  process.exitCode = texts.length > 0 ? 0 : 1;
} else {
  await fuzz();
}
