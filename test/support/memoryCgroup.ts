// A memory-limited cgroup of a test's own, version 1 or 2, whichever the host has.

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './privateBus';

const VERSION_1 = '/sys/fs/cgroup/memory';
const VERSION_2 = '/sys/fs/cgroup';

export class MemoryCgroup {
  private constructor(
    private readonly folder: string,
    private readonly version: 1 | 2,
  ) {}

  static create(limitBytes: number): MemoryCgroup {
    const version = existsSync(join(VERSION_1, 'memory.limit_in_bytes')) ? 1 : 2;
    const parent = version === 1 ? VERSION_1 : VERSION_2;
    const folder = join(parent, `blkmirror-test-${process.pid}`);
    if (version === 2) writeFileSync(join(parent, 'cgroup.subtree_control'), '+memory');
    mkdirSync(folder);
    const limit = version === 1 ? 'memory.limit_in_bytes' : 'memory.max';
    writeFileSync(join(folder, limit), String(limitBytes));
    return new MemoryCgroup(folder, version);
  }

  /** Words that, put before a command, run it inside. */
  get wrapper(): readonly string[] {
    const enter = `echo $$ > '${join(this.folder, 'cgroup.procs')}' && exec "$@"`;
    return ['sh', '-c', enter, 'sh'];
  }

  get pids(): readonly number[] {
    const text = readFileSync(join(this.folder, 'cgroup.procs'), 'utf8');
    return text.split('\n').filter(Boolean).map(Number);
  }

  /** How often the limit was reached. */
  get limitReached(): number {
    if (this.version === 1) {
      return Number(readFileSync(join(this.folder, 'memory.failcnt'), 'utf8'));
    }
    const events = readFileSync(join(this.folder, 'memory.events'), 'utf8');
    return Number(/^max (\d+)/m.exec(events)?.[1] ?? 0);
  }

  /** When everything in it has ended. */
  async remove(): Promise<void> {
    await until('the cgroup is empty', () => this.pids.length === 0);
    rmdirSync(this.folder);
  }
}
