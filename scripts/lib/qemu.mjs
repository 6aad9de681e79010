// qemu-storage-daemon 10 from bookworm-backports, unpacked below node_modules/.cache: what a
// benchmark compares with. Nothing is installed; apt's own lists stay as they are.

import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, runQuietly } from './tools.mjs';

const FOLDER = join(root, 'node_modules', '.cache', 'bench', 'qemu');
const PROGRAM = join(FOLDER, 'usr', 'bin', 'qemu-storage-daemon');
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const SOURCE = `deb [signed-by=${KEYRING}] http://deb.debian.org/debian bookworm-backports main\n`;

/** The program's path, or undefined when it cannot be had. */
export function qemuStorageDaemon() {
  if (!existsSync(PROGRAM) && !unpack()) return undefined;
  return runQuietly(PROGRAM, ['--version']) === 0 ? PROGRAM : undefined;
}

function unpack() {
  const lists = join(FOLDER, 'lists');
  mkdirSync(join(lists, 'partial'), { recursive: true });
  writeFileSync(join(FOLDER, 'backports.list'), SOURCE);
  const settings = [
    ['Dir::Etc::SourceList', join(FOLDER, 'backports.list')],
    ['Dir::Etc::SourceParts', '/dev/null'],
    ['Dir::State::Lists', lists],
    ['APT::Sandbox::User', ''],
  ].flatMap(([key, value]) => ['-o', `${key}=${value}`]);
  const fetched =
    runQuietly('apt-get', [...settings, 'update', '-qq']) === 0 &&
    runQuietly('apt-get', [...settings, 'download', '-qq', 'qemu-utils'], { cwd: FOLDER }) === 0;
  if (!fetched) return false;
  const [file] = readdirSync(FOLDER).filter((name) => name.endsWith('.deb'));
  return file !== undefined && runQuietly('dpkg-deb', ['-x', join(FOLDER, file), FOLDER]) === 0;
}
