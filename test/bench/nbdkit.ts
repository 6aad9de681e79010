// nbdkit as a contender: its null plugin, what NBD over a socket reaches at all, and its file
// plugin, which writes to the page cache.

import { join } from 'node:path';
import { Background } from '../support/systemProcess';
import { nbdWords } from './contender';
import type { Contender } from './contender';
import { acceptsConnections } from './listening';

export function startNull(folder: string, sizeBytes: number): Promise<Contender> {
  const settings = 'nbdkit null: stores nothing; the ceiling of NBD over a unix socket';
  return start('nbdkit null', settings, folder, ['null', `size=${sizeBytes}`]);
}

export function startFile(folder: string, file: string): Promise<Contender> {
  const settings = 'nbdkit file: through the page cache, not replicated';
  return start('nbdkit file', settings, folder, ['file', file]);
}

async function start(
  name: string,
  settings: string,
  folder: string,
  plugin: readonly string[],
): Promise<Contender> {
  const socket = join(folder, `${name.replace(' ', '-')}.sock`);
  const words = ['--foreground', '--unix', socket, ...plugin];
  const server = Background.start('nbdkit', words, join(folder, 'nbdkit.log'));
  await acceptsConnections({ path: socket });
  return {
    name,
    settings,
    fioWords: nbdWords(socket),
    pids: [server.pid],
    close: () => server.kill(),
  };
}
