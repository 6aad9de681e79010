// The house checks who depends on whom in C++ (DESIGN.md, section 2), by the include lines.
// nbd, peer, disk and meta never include each other; only bind/ sees Node, only io/ the ring.

import { sourceFiles } from './tree';

const PARTS = ['nbd', 'peer', 'disk', 'meta'];

/** For each folder of native (addon.cc being 'addon'), what it may include besides itself. */
const BELOW: Readonly<Record<string, readonly string[]>> = {
  addon: ['bind', 'engine', 'host', 'base'],
  bind: ['engine', 'host', ...PARTS, 'io', 'base'],
  engine: [...PARTS, 'io', 'base'],
  host: ['io', 'base'],
  nbd: ['io', 'base'],
  peer: ['io', 'base'],
  disk: ['io', 'base'],
  meta: ['io', 'base'],
  io: ['base'],
  base: [],
  // A program of its own.
  helper: ['base'],
  // The test-only addon of the simulated world.
  sim_addon: ['simbind'],
  simbind: ['sim', 'bind', 'host', 'meta', 'io', 'base'],
  sim: ['engine', 'host', 'peer', 'meta', 'io', 'base'],
};

/** Single headers that a folder may include beyond the table, each for the reason beside it. */
const EXCEPTIONS = [
  // The listener reads the first frame of a connection to learn which resource it is for.
  { folder: 'host', header: 'peer/frame.h' },
  // What runs an engine for JavaScript, as seen from what simulates it; no Node in it.
  { folder: 'sim', header: 'bind/engine_runner.h' },
  { folder: 'sim', header: 'bind/metadata_disk.h' },
];

/** Headers that stand for system calls, threads or allocation away from the I/O path. */
const OFF_THE_IO_PATH =
  /^(unistd|fcntl|poll|sys\/(socket|ioctl|epoll|stat|mman|file)|thread|mutex|condition_variable)/;

interface Include {
  readonly file: string;
  readonly folder: string;
  readonly header: string;
  readonly system: boolean;
}

const sources = sourceFiles(/^native\/(?!test\/|build\/).*\.(cc|h)$/);
const includes = sources.flatMap((file) =>
  file.lines.flatMap((line): Include[] => {
    const found = /^\s*#\s*include\s*([<"])([^>"]+)[>"]/.exec(line);
    if (found === null) return [];
    const [, bracket = '', header = ''] = found;
    return [{ file: file.path, folder: folderOf(file.path), header, system: bracket === '<' }];
  }),
);

function folderOf(path: string): string {
  const [, folder = ''] = path.split('/');
  return folder.replace(/\.(cc|h)$/, '');
}

function describeIncludes(wrong: readonly Include[]): string[] {
  return wrong.map(({ file, header }) => `${file} includes ${header}`);
}

test('every folder of native has its place in the table', () => {
  const unknown = sources.filter((file) => BELOW[folderOf(file.path)] === undefined);
  expect(unknown.map((file) => file.path)).toEqual([]);
});

test('own headers are included by their path from native/', () => {
  const wrong = includes.filter(
    (one) => !one.system && !/^[a-z]+\/[a-z0-9_]+\.h$/.test(one.header),
  );
  expect(describeIncludes(wrong)).toEqual([]);
});

test('includes point downwards', () => {
  const wrong = includes.filter((one) => {
    if (one.system) return false;
    const [target = ''] = one.header.split('/');
    if (target === one.folder || BELOW[one.folder]?.includes(target) === true) return false;
    return !EXCEPTIONS.some(({ folder, header }) => {
      return folder === one.folder && header === one.header;
    });
  });
  expect(describeIncludes(wrong)).toEqual([]);
});

test('only the bindings include napi.h', () => {
  const wrong = includes.filter(
    (one) => /^(napi|node_api|node|v8|uv)\b/.test(one.header) && !isAddon(one.folder),
  );
  expect(describeIncludes(wrong)).toEqual([]);
});

test('only io/ includes liburing.h', () => {
  const wrong = includes.filter(
    (one) => /^(liburing|linux\/io_uring)/.test(one.header) && one.folder !== 'io',
  );
  expect(describeIncludes(wrong)).toEqual([]);
});

test('the I/O path makes no system calls of its own', () => {
  const wrong = includes.filter(
    (one) => ['engine', ...PARTS].includes(one.folder) && OFF_THE_IO_PATH.test(one.header),
  );
  expect(describeIncludes(wrong)).toEqual([]);
});

test('headers are included once', () => {
  const headers = sources.filter((file) => file.path.endsWith('.h'));
  const wrong = headers.filter((file) => !file.lines.includes('#pragma once'));
  expect(wrong.map((file) => file.path)).toEqual([]);
});

function isAddon(folder: string): boolean {
  return ['addon', 'bind', 'sim_addon', 'simbind'].includes(folder);
}
