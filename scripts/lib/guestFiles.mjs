// What guests are shown as files: this tree's package, and what a benchmark compares with. Called
// by vm.mjs and bench-vm.mjs.

import { cpSync, existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { root, runQuietly } from './tools.mjs';

/** Debian packages that are unpacked in the guest, not installed: no image has them. */
const PEERS = ['drbd-utils', 'mdadm', 'nbdkit'];
const PEERS_FOLDER = join(root, 'node_modules', '.cache', 'bench', 'guest');

/** Makes `content` anew: the package of this tree. */
export function guestFiles(content) {
  rmSync(content, { recursive: true, force: true });
  mkdirSync(content, { recursive: true });
  if (runQuietly(process.execPath, ['scripts/deb.mjs']) !== 0) throw new Error('no package');
  copyFiles(join(root, 'packaging/out'), content);
  return content;
}

/** Puts the packages of the peers in a guest beside it. */
export function addPeers(content) {
  if (!existsSync(PEERS_FOLDER)) fetchPeers();
  copyFiles(PEERS_FOLDER, content);
}

function fetchPeers() {
  const words = ['download', '-qq', '-o', 'APT::Sandbox::User=', ...PEERS];
  mkdirSync(PEERS_FOLDER, { recursive: true });
  if (runQuietly('apt-get', words, { cwd: PEERS_FOLDER }) === 0) return;
  rmSync(PEERS_FOLDER, { recursive: true, force: true });
  throw new Error(`${PEERS.join(', ')} cannot be had: is Debian's mirror in reach?`);
}

function copyFiles(from, to) {
  for (const name of readdirSync(from)) cpSync(join(from, name), join(to, name));
}
