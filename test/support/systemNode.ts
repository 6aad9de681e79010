// One node of a cluster: a bus, folders and a blkmirrord of its own, and the command line
// against them. Used by Cluster (systemCluster.ts).

import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Service } from '../../src/cli/service';
import type { DeviceMethod, Options } from '../../src/cli/service';
import type { ResourceName } from '../../src/model/states';
import type { DeviceStatus, PeerStatus } from '../../src/model/status';
import { PrivateBus, until } from './privateBus';
import type { Outcome } from './privateBus';
import { Background, repository, run } from './systemProcess';

const DAEMON = join(repository, 'bin/blkmirrord.js');
const COMMAND = join(repository, 'bin/blkmirror.js');
const START_DEADLINE_MS = 60_000;

/** Runs a process in a place of its own, such as a memory cgroup: words put before it. */
export type Wrapper = readonly string[];

export class SystemNode {
  readonly bus = new PrivateBus();
  readonly configDir: string;
  readonly runDir: string;
  readonly stateDir: string;
  readonly logFile: string;
  private daemon: Background | undefined;
  private service: Service | undefined;

  constructor(
    readonly name: string,
    readonly folder: string,
    private readonly wrapper: Wrapper = [],
  ) {
    this.configDir = join(folder, 'etc');
    this.runDir = join(folder, 'run');
    this.stateDir = join(folder, 'state');
    this.logFile = join(folder, 'daemon.log');
    mkdirSync(join(this.configDir, 'resources.d'), { recursive: true });
  }

  writeConfig(resource: string, text: string): void {
    writeFileSync(this.configFile(resource), text);
  }

  readConfig(resource: string): string {
    return readFileSync(this.configFile(resource), 'utf8');
  }

  configFile(resource: string): string {
    return join(this.configDir, 'resources.d', `${resource}.conf`);
  }

  /** Resolves when the daemon answers. */
  async start(): Promise<void> {
    if (this.service === undefined) await this.bus.start();
    const [program = process.execPath, ...words] = this.daemonWords();
    const daemon = Background.start(program, words, this.logFile);
    this.daemon = daemon;
    this.service ??= await Service.open(this.bus.address);
    await until(
      `blkmirrord of ${this.name} answers`,
      () => {
        if (daemon.hasEnded) throw new Error(`blkmirrord of ${this.name} ended:\n${this.log()}`);
        return this.answers();
      },
      START_DEADLINE_MS,
    );
  }

  /** A second daemon with the same folders and bus, to its end. */
  startAnother(): Promise<Outcome> {
    const [program = process.execPath, ...words] = this.daemonWords();
    return run(program, words, { deadlineMs: START_DEADLINE_MS });
  }

  /** As a crash ends it. */
  async kill9(): Promise<void> {
    await this.daemon?.kill();
  }

  /** As systemd stops it. */
  async stop(): Promise<void> {
    this.daemon?.signal('SIGTERM');
    await this.daemon?.ended();
  }

  reload(): void {
    this.daemon?.signal('SIGHUP');
  }

  /** Resolves when every thread stands still. */
  async pause(): Promise<void> {
    const tasks = `/proc/${this.pid}/task`;
    const stands = (task: string): boolean =>
      readFileSync(join(tasks, task, 'status'), 'utf8').includes('State:\tT');
    this.daemon?.signal('SIGSTOP');
    await until(`${this.name} stands still`, () => readdirSync(tasks).every(stands));
  }

  resume(): void {
    this.daemon?.signal('SIGCONT');
  }

  get pid(): number {
    if (this.daemon === undefined) throw new Error(`${this.name} was not started`);
    return this.daemon.pid;
  }

  get isRunning(): boolean {
    return this.daemon !== undefined && !this.daemon.hasEnded;
  }

  async remove(): Promise<void> {
    await this.kill9();
    this.service?.close();
    this.service = undefined;
    await this.bus.remove();
  }

  log(): string {
    appendFileSync(this.logFile, '');
    return readFileSync(this.logFile, 'utf8');
  }

  /** The command line, with this node's options. */
  cli(...args: string[]): Promise<Outcome> {
    const options = ['--bus', this.bus.address, '--config-dir', this.configDir];
    return run(process.execPath, [COMMAND, ...options, '--node', this.name, ...args]);
  }

  /** The same, and exit status 0. */
  async must(...args: string[]): Promise<string> {
    const outcome = await this.cli(...args);
    if (outcome.status === 0) return outcome.stdout;
    const words = `blkmirror ${args.join(' ')} on ${this.name}`;
    throw new Error(`${words}: exit status ${outcome.status}: ${outcome.stderr}\n${this.log()}`);
  }

  /** The same, refused with exit status 1 and one line, which is answered. */
  async refused(...args: string[]): Promise<string> {
    const outcome = await this.cli(...args);
    const lines = outcome.stderr.trimEnd().split('\n');
    if (outcome.status === 1 && lines.length === 1) return lines[0] ?? '';
    const words = `blkmirror ${args.join(' ')} on ${this.name}`;
    const shown = `exit status ${outcome.status}, standard error:\n${outcome.stderr}`;
    throw new Error(`${words} was to be refused in one line: ${shown}${outcome.stdout}`);
  }

  /** Calls a method of the device over the bus. */
  call(resource: string, method: DeviceMethod, options: Options = {}): Promise<readonly unknown[]> {
    return this.connected().device(resource as ResourceName, method, options);
  }

  up(resource: string): Promise<void> {
    return this.connected().up(resource);
  }

  down(resource: string): Promise<void> {
    return this.connected().down(resource);
  }

  devices(): Promise<readonly DeviceStatus[]> {
    return this.connected().devices();
  }

  async status(resource = 'r0'): Promise<DeviceStatus> {
    const device = await this.connected().tryDevice(resource as ResourceName);
    if (device === undefined) throw new Error(`${resource} is not up on ${this.name}`);
    return device;
  }

  async peer(peer: string, resource = 'r0'): Promise<PeerStatus> {
    const status = await this.status(resource);
    const found = status.peers.find((one) => one.name === peer);
    if (found === undefined) throw new Error(`${this.name} knows no peer ${peer} of ${resource}`);
    return found;
  }

  socket(resource = 'r0'): string {
    return join(this.runDir, `${resource}.sock`);
  }

  uri(resource = 'r0'): string {
    return `nbd+unix:///${resource}?socket=${this.socket(resource)}`;
  }

  private daemonWords(): string[] {
    const program = [...this.wrapper, process.execPath, DAEMON];
    const folders = ['--config-dir', this.configDir, '--run-dir', this.runDir];
    const identity = ['--state-dir', this.stateDir, '--bus', this.bus.address, '--node', this.name];
    return [...program, ...folders, ...identity];
  }

  private connected(): Service {
    if (this.service === undefined) throw new Error(`${this.name} was not started`);
    return this.service;
  }

  private async answers(): Promise<boolean> {
    try {
      await this.devices();
      return true;
    } catch {
      return false;
    }
  }
}
