// One file of JavaScript for each program, with the npm packages it uses, for the Node of Debian,
// and the one that starts it (packaging/start).
// Called by deb.mjs.

import { copyFileSync, existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { root } from './tools.mjs';

/** The oldest Node the package runs on. */
const TARGET = 'node18';
const PROGRAMS = { blkmirrord: 'src/main.ts', blkmirror: 'src/cli/main.ts' };
const STARTER = 'packaging/start/program.cjs';
/** Not used: X11 is where dbus-next looks for a session bus; the addon notifies systemd. */
const LEFT_OUT = ['x11', 'sd-notify'];

/** Writes the programs into `folder`; the licences of what is in them, as text. */
export async function bundlePrograms(folder) {
  const packages = new Set();
  for (const [name, entry] of Object.entries(PROGRAMS)) {
    copyFileSync(join(root, STARTER), join(folder, `${name}.js`));
    const result = await build({
      absWorkingDir: root,
      entryPoints: [entry],
      outfile: join(folder, `${name}.program.js`),
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: TARGET,
      external: LEFT_OUT,
      legalComments: 'none',
      metafile: true,
      logLevel: 'warning',
    });
    for (const input of Object.keys(result.metafile.inputs)) {
      const [, used] = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(input) ?? [];
      if (used !== undefined) packages.add(used);
    }
  }
  return [...packages].sort().map(noticeOf).join('\n');
}

function noticeOf(name) {
  const folder = join(root, 'node_modules', name);
  if (!existsSync(folder)) throw new Error(`${name} lies below another package: look for it there`);
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
  const text = file === undefined ? '' : readFileSync(join(folder, file), 'utf8').trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
}
