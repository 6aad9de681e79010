// A dbus-daemon of a suite's own, with its own configuration and socket, and busctl against it.
// Nothing is left behind: it is stopped by its process id, and dies with the tests.

import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Outcome {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

const COMMAND_DEADLINE_MS = 30_000;
const BUS_CONFIG = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path=SOCKET</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
  </policy>
LIMITS
</busconfig>
`;

export class PrivateBus {
  readonly folder = mkdtempSync(join(tmpdir(), 'blkmirror-bus-'));
  readonly socket = join(this.folder, 'bus');
  readonly address = `unix:path=${this.socket}`;
  private daemon: ChildProcess | undefined;

  /** `limits`: further elements of the configuration. */
  constructor(limits = '') {
    // Other users connect too.
    chmodSync(this.folder, 0o755);
    const config = BUS_CONFIG.replace('SOCKET', this.socket).replace('LIMITS', limits);
    writeFileSync(join(this.folder, 'bus.conf'), config);
  }

  /** Resolves when it accepts connections. */
  async start(): Promise<void> {
    const config = `--config-file=${join(this.folder, 'bus.conf')}`;
    const words = ['--pdeathsig', 'KILL', 'dbus-daemon', config, '--nofork', '--print-address'];
    const daemon = spawn('setpriv', words, { stdio: ['ignore', 'pipe', 'ignore'] });
    this.daemon = daemon;
    await once(daemon.stdout, 'data');
  }

  /** As when it crashes. */
  async kill(): Promise<void> {
    const daemon = this.daemon;
    this.daemon = undefined;
    if (daemon === undefined || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = once(daemon, 'exit');
    daemon.kill('SIGKILL');
    await ended;
    if (existsSync(this.socket)) rmSync(this.socket);
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** busctl with words as DESIGN.md writes them. */
  busctl(...args: string[]): Promise<Outcome> {
    return runCommand('busctl', [`--address=${this.address}`, ...args]);
  }

  /** The same as another user. */
  busctlAs(uid: number, ...args: string[]): Promise<Outcome> {
    const user = [`--reuid=${String(uid)}`, `--regid=${String(uid)}`, '--clear-groups'];
    return runCommand('setpriv', [...user, 'busctl', `--address=${this.address}`, ...args]);
  }
}

/** Runs to its end; never rejects. */
export function runCommand(command: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(command, args, { timeout: COMMAND_DEADLINE_MS }, (error, stdout, stderr) => {
      const status = typeof error?.code === 'number' ? error.code : error === null ? 0 : 1;
      resolve({ status, stdout, stderr });
    });
  });
}

/** Looks again until it holds; fails with what it looks for. */
export async function until(
  what: string,
  holds: () => Promise<boolean> | boolean,
  deadlineMs = 30_000,
): Promise<void> {
  const end = Date.now() + deadlineMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not within ${String(deadlineMs)} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
