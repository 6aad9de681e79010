// npm run demo: two nodes on this machine mirror a disk; one dies, the other takes over with
// every acknowledged write; the first comes back and catches up. Needs no root, no nbd module
// and no systemd, takes well under a minute and leaves nothing behind, also after Ctrl-C.

import { bold, clearLine, duration, good, say } from './demo/screen.mjs';
import { tell } from './demo/story.mjs';
import { World } from './demo/world.mjs';

let world;
let ending;

/** Once, whoever calls first. */
function cleanUp() {
  ending ??= Promise.resolve(world?.remove());
  return ending;
}

async function interrupted(signal) {
  clearLine();
  say('Interrupted. Cleaning up ...');
  await cleanUp();
  process.exit(signal === 'SIGINT' ? 130 : 143);
}

async function main() {
  const start = performance.now();
  say(bold('blkmirror: a disk on two machines, played on this one'));
  try {
    world = await World.open();
    await tell(world);
  } catch (error) {
    if (ending === undefined) explain(error);
    return 1;
  } finally {
    await cleanUp();
  }
  say();
  say(good(`Done in ${duration(performance.now() - start)}. Everything is cleaned up again.`));
  say('Your own mirror, in a few commands: README.md');
  return 0;
}

function explain(error) {
  clearLine();
  say();
  say(`The demo failed: ${error instanceof Error ? error.message : String(error)}`);
  for (const node of world?.nodes ?? []) {
    const lines = node.lastLines();
    if (lines !== '') say(`\nThe last lines of the log of ${node.name}:\n${lines}`);
  }
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => void interrupted(signal));
}
process.exit(await main());
