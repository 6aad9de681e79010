// The control frames that fuzzing has found worth keeping: each is read or refused, and what was
// read stays the same when written again.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

test('every kept control frame is read or refused', () => {
  const script = join(__dirname, '../../scripts/fuzz/control.mjs');
  const said = execFileSync(process.execPath, [script, '--replay'], { encoding: 'utf8' });
  expect(said).toMatch(/^control_json: [1-9]\d* inputs\n$/);
});
