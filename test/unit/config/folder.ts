// A configuration directory for tests, removed after each test.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const GOOD = `[resource]
device = none
[node "alpha"]
address = 192.0.2.1:7788
disk = /dev/vg0/r0
[node "beta"]
address = 192.0.2.2:7788
disk = /dev/vg0/r0
`;

export class Folder {
  readonly path = mkdtempSync(join(tmpdir(), 'blkmirror-config-'));

  /** `name` is relative to the folder. */
  write(name: string, content: string | Buffer): string {
    const file = join(this.path, name);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, content);
    return file;
  }

  writeResource(name: string, content: string | Buffer): string {
    return this.write(`resources.d/${name}.conf`, content);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}
