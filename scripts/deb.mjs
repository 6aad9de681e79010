// npm run deb: leaves exactly one blkmirror_*.deb under packaging/out/. Installs the tools it
// needs, bundles each program into one file for Node 18, and lets debhelper do the rest in a
// scratch folder. Runs after setup.mjs, which has built the addon.

import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { bundlePrograms } from './lib/bundling.mjs';
import { installPackages, missingPackages, NEEDED_TO_PACKAGE } from './lib/packages.mjs';
import { root, runQuietly } from './lib/tools.mjs';

const OUT = join(root, 'packaging/out');
const BUILT = 'native/build/Release';

/** What debian/install names, and where it comes from. */
const PARTS = {
  debian: 'packaging/debian',
  shell: 'packaging/shell',
  pacemaker: 'packaging/pacemaker',
  ocf: 'packaging/ocf',
  heartbeat: 'packaging/heartbeat',
  completion: 'packaging/completion',
  man: 'packaging/man',
  config: 'packaging/config',
  systemd: 'systemd',
  dbus: 'dbus',
  'README.md': 'README.md',
  'multipath/blkmirror.conf': 'packaging/config/multipath.conf',
  'modprobe/blkmirror.conf': 'packaging/config/modprobe.conf',
  'debian/blkmirror.udev': 'udev/65-blkmirror.rules',
  'bundle/blkmirror.node': `${BUILT}/blkmirror.node`,
  'bundle/blkmirror-handlers': `${BUILT}/blkmirror-handlers`,
};

function buildTools() {
  const missing = missingPackages(NEEDED_TO_PACKAGE);
  return missing.length === 0 || installPackages(missing);
}

async function fill(tree) {
  for (const [to, from] of Object.entries(PARTS)) {
    cpSync(join(root, from), join(tree, to), { recursive: true });
  }
  const { name, version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(join(tree, 'bundle/package.json'), `${JSON.stringify({ name, version })}\n`);
  writeFileSync(join(tree, 'notices.txt'), await bundlePrograms(join(tree, 'bundle')));
}

/** The package's file name, moved to packaging/out; undefined when it was not built. */
function build(scratch, tree) {
  const args = ['--build=binary', '--no-sign', '--no-check-builddeps'];
  if (runQuietly('dpkg-buildpackage', args, { cwd: tree }) !== 0) return undefined;
  const made = readdirSync(scratch).filter((name) => /^blkmirror_.*\.deb$/.test(name));
  if (made.length !== 1) return undefined;
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  cpSync(join(scratch, made[0]), join(OUT, made[0]));
  return made[0];
}

async function main() {
  if (!buildTools()) return 1;
  const scratch = mkdtempSync(join(tmpdir(), 'blkmirror-deb-'));
  try {
    const tree = join(scratch, 'blkmirror');
    mkdirSync(tree);
    await fill(tree);
    const made = build(scratch, tree);
    process.stdout.write(made ? `packaging/out/${made}\n` : 'the package was not built\n');
    return made === undefined ? 1 : 0;
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) process.exitCode = await main();
