// The two nodes of the demo: a folder below the temporary one with everything in it, a private
// bus and a blkmirrord for each node, and the end of all of it. Nothing outlives the demo: what
// it starts is killed with it (PDEATHSIG), and the folder is removed.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync } from 'node:fs';
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Service } from '../../dist/cli/service.js';
import { root } from '../lib/tools.mjs';

export const MIB = 1024 * 1024;
const START_DEADLINE_MS = 20_000;
const LARGE_DISK_BYTES = 512 * MIB;
const SMALL_DISK_BYTES = 128 * MIB;

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
</busconfig>
`;

export class World {
  static async open() {
    const world = new World(mkdtempSync(join(tmpdir(), 'blkmirror-demo-')));
    try {
      await world.prepare();
    } catch (error) {
      await world.remove();
      throw error;
    }
    return world;
  }

  constructor(folder) {
    this.folder = folder;
    this.alpha = new Node('alpha', join(folder, 'alpha'));
    this.beta = new Node('beta', join(folder, 'beta'));
  }

  get nodes() {
    return [this.alpha, this.beta];
  }

  async remove() {
    for (const node of this.nodes) await node.remove();
    rmSync(this.folder, { recursive: true, force: true });
  }

  async prepare() {
    this.diskBytes = chooseSize(this.folder);
    const ports = await freePorts(2);
    const sections = this.nodes.map((node, index) =>
      [
        `[node "${node.name}"]`,
        `address = 127.0.0.1:${ports[index]}`,
        `disk = ${node.disk}`,
        '',
      ].join('\n'),
    );
    const config = `[resource]\ndevice = none\n${sections.join('')}`;
    for (const node of this.nodes) {
      mkdirSync(join(node.configDir, 'resources.d'), { recursive: true });
      writeFileSync(join(node.configDir, 'resources.d/r0.conf'), config);
      const file = openSync(node.disk, 'w');
      ftruncateSync(file, this.diskBytes);
      closeSync(file);
      await node.startBus();
    }
  }
}

class Node {
  constructor(name, folder) {
    this.name = name;
    this.folder = folder;
    this.configDir = join(folder, 'etc');
    this.runDir = join(folder, 'run');
    this.disk = join(folder, 'disk');
    this.socket = join(this.runDir, 'r0.sock');
    this.logFile = join(folder, 'blkmirrord.log');
    this.busAddress = `unix:path=${join(folder, 'bus')}`;
  }

  async startBus() {
    const file = join(this.folder, 'bus.conf');
    writeFileSync(file, BUS_CONFIG.replace('SOCKET', join(this.folder, 'bus')));
    const args = [`--config-file=${file}`, '--nofork', '--print-address'];
    this.bus = startWithUs('dbus-daemon', args, ['ignore', 'pipe', 'ignore']);
    await Promise.race([once(this.bus.stdout, 'data'), failedToStart(this.bus, 'dbus-daemon')]);
    this.service = await Service.open(this.busAddress);
  }

  /** Resolves when it answers. */
  async start() {
    const log = openSync(this.logFile, 'a');
    const program = join(root, 'bin/blkmirrord.js');
    const folders = ['--config-dir', this.configDir, '--run-dir', this.runDir];
    const identity = ['--bus', this.busAddress, '--node', this.name];
    const args = [program, ...folders, ...identity];
    this.daemon = startWithUs(process.execPath, args, ['ignore', log, log]);
    closeSync(log);
    const end = Date.now() + START_DEADLINE_MS;
    while (!(await this.answers())) {
      if (this.daemon.exitCode !== null || Date.now() > end) {
        throw new Error(`blkmirrord of ${this.name} did not start:\n${this.lastLines()}`);
      }
      await soon();
    }
  }

  kill() {
    const ended = once(this.daemon, 'exit');
    this.daemon.kill('SIGKILL');
    return ended;
  }

  /** blkmirror with this node's options. Fails with what it says. */
  async command(...words) {
    const options = ['--bus', this.busAddress, '--config-dir', this.configDir];
    const program = join(root, 'bin/blkmirror.js');
    const args = [program, ...options, '--node', this.name, ...words];
    const child = startWithUs(process.execPath, args, ['ignore', 'ignore', 'pipe']);
    let errors = '';
    child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
    const [status] = await once(child, 'close');
    if (status !== 0) throw new Error(`blkmirror ${words.join(' ')} on ${this.name}: ${errors}`);
  }

  /** As the bus shows it; undefined while it is not up. */
  status() {
    return this.service.tryDevice('r0');
  }

  async answers() {
    try {
      await this.service.devices();
      return true;
    } catch {
      return false;
    }
  }

  lastLines() {
    try {
      return readFileSync(this.logFile, 'utf8').split('\n').slice(-8).join('\n');
    } catch {
      return '';
    }
  }

  async remove() {
    this.service?.close();
    for (const child of [this.daemon, this.bus]) {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) continue;
      const ended = once(child, 'exit');
      child.kill('SIGKILL');
      await ended;
    }
  }
}

/** Not in the terminal's process group, so that Ctrl-C is for the demo alone. */
function startWithUs(command, args, stdio) {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', command, ...args], {
    stdio,
    detached: true,
  });
  child.on('error', () => undefined);
  return child;
}

async function failedToStart(child, name) {
  await once(child, 'close');
  throw new Error(`${name} did not start`);
}

export function soon() {
  return new Promise((resolve) => setTimeout(resolve, 25));
}

function chooseSize(folder) {
  const { bavail, bsize } = statfsSync(folder);
  const freeBytes = bavail * bsize;
  if (freeBytes > 4 * LARGE_DISK_BYTES) return LARGE_DISK_BYTES;
  if (freeBytes > 3 * SMALL_DISK_BYTES) return SMALL_DISK_BYTES;
  const wanted = (3 * SMALL_DISK_BYTES) / MIB;
  throw new Error(`the demo needs ${wanted} MiB in ${tmpdir()}; set TMPDIR to a larger place`);
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
