// A real polkitd on a private bus, with blkmirror's actions and rules of the test's own. It sees
// them by mounts of its own over the system's folders; needs root.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { until } from './privateBus';
import type { PrivateBus } from './privateBus';
import { repository } from './systemProcess';

const PROGRAM = '/usr/lib/polkit-1/polkitd';
const NAME = 'org.freedesktop.PolicyKit1';

/** $1: folder with the rules; $2: the actions; $3: polkitd. */
const SCRIPT = `
mount --make-rprivate / &&
mount -t tmpfs -o mode=755 tmpfs /usr/share/polkit-1/actions &&
cp "$2" /usr/share/polkit-1/actions/ && chmod 644 /usr/share/polkit-1/actions/* &&
mount --bind "$1" /usr/share/polkit-1/rules.d &&
exec "$3" --no-debug`;

export class PolkitDaemon {
  private child: ChildProcess | undefined;

  constructor(
    private readonly bus: PrivateBus,
    /** JavaScript, as polkit(8) describes. */
    private readonly rules: string,
  ) {}

  /** Resolves when it answers on the bus. */
  async start(): Promise<void> {
    const folder = join(this.bus.folder, 'rules.d');
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    writeFileSync(join(folder, '50-test.rules'), this.rules, { mode: 0o644 });
    const actions = join(repository, 'dbus/org.blkmirror.policy');
    const words = ['--pdeathsig', 'KILL', 'unshare', '--mount', 'sh', '-c', SCRIPT, 'sh'];
    const child = spawn('setpriv', [...words, folder, actions, PROGRAM], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: this.bus.address },
    });
    this.child = child;
    let said = '';
    child.stderr.on('data', (text: Buffer) => (said += text.toString()));
    await until('polkitd is on the bus', async () => {
      if (child.exitCode !== null) throw new Error(`polkitd ended: ${said}`);
      const { stdout } = await this.bus.busctl('list', '--acquired', '--no-legend');
      return stdout.includes(NAME);
    });
  }

  async stop(): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGKILL');
    await ended;
  }
}
