/**
 * Entry of `blkmirror`. Everything else is in program.ts, which tests call without a process.
 */
import { programVersion } from '../model/version';
import { standardOutput } from './output';
import { run } from './program';

run(process.argv.slice(2), programVersion(__dirname), standardOutput()).then(
  (exit) => {
    process.exitCode = exit;
  },
  (error: unknown) => {
    process.stderr.write(`blkmirror: ${String(error)}\n`);
    process.exitCode = 1;
  },
);
