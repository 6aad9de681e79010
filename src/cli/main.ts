/**
 * Entry of `blkmirror`. Everything else is in program.ts, which tests call without a process.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { standardOutput } from './output';
import { run } from './program';

function version(): string {
  const file = join(__dirname, '..', '..', 'package.json');
  const content = JSON.parse(readFileSync(file, 'utf8')) as { readonly version: string };
  return content.version;
}

run(process.argv.slice(2), version(), standardOutput()).then(
  (exit) => {
    process.exitCode = exit;
  },
  (error: unknown) => {
    process.stderr.write(`blkmirror: ${String(error)}\n`);
    process.exitCode = 1;
  },
);
