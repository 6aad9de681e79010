// What the demo says: numbered lines, commands as one would type them, and a progress bar that
// is drawn over itself on a terminal and left out elsewhere.

const BAR_CELLS = 30;
const terminal = process.stdout.isTTY === true;
const colour = terminal && process.env.NO_COLOR === undefined;

let number = 0;

export function say(text = '') {
  process.stdout.write(`${text}\n`);
}

/** The next step of the story. */
export function step(text) {
  number++;
  say();
  say(`${bold(String(number).padStart(2))}  ${text}`);
}

/** What came of it. */
export function result(text) {
  say(`    ${text}`);
}

/** A command as one would type it on that node. */
export function command(node, words) {
  say(dim(`    ${node}$ blkmirror ${words}`));
}

export function bar(percent, note) {
  if (!terminal) return;
  const filled = Math.round((percent / 100) * BAR_CELLS);
  const cells = `${'█'.repeat(filled)}${'░'.repeat(BAR_CELLS - filled)}`;
  const shown = `${String(Math.floor(percent)).padStart(3)} %`;
  process.stdout.write(`\r\x1b[2K    ${cells} ${shown}  ${note}`);
}

/** The bar stays as it was last drawn. */
export function endBar() {
  if (terminal) process.stdout.write('\n');
}

/** Takes away a line that is only half there. */
export function clearLine() {
  if (terminal) process.stdout.write('\r\x1b[2K');
}

export function bold(text) {
  return colour ? `\x1b[1m${text}\x1b[0m` : text;
}

export function good(text) {
  return colour ? `\x1b[32m${text}\x1b[0m` : text;
}

function dim(text) {
  return colour ? `\x1b[2m${text}\x1b[0m` : text;
}

export function count(value) {
  return value.toLocaleString('en-US');
}

export function duration(ms) {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}
