// One guest: a qemu process with a disk of its own over the image, and the agent in it.
// It is named alpha or beta, has the address 192.0.2.1 or 192.0.2.2, the backing disk
// /dev/disk/by-id/virtio-backing (empty), and /mnt/files with this run's package.
// Switching it off kills the process: what the guest had not written is lost.

import { rmSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import type { Outcome } from '../../support/privateBus';
import { Background, runOk } from '../../support/systemProcess';
import { Agent } from './agent';
import type { Base } from './context';
import { connected, eachLine, eventually } from './deadline';
import { qemuArguments } from './machine';
import type { Image, Machine } from './machine';
import { Qmp } from './qmp';

const COMMAND_DEADLINE_MS = 120_000;
const BOOT_DEADLINE_MS = 240_000;
const BACKING_DISK = '96M';
/** As long as nobody asks for more. */
const MEMORY_MIB = 768;

export interface GuestOptions {
  readonly image: Image;
  readonly name: string;
  /** The other guest on the wire. */
  readonly other: string;
  /** For disks and sockets. */
  readonly folder: string;
  /** The disk that its own lies over, and the memory that goes with it, where there is one. */
  readonly base: Base;
  /** Other than what saved states have: it boots. */
  readonly memoryMib?: number;
}

export class Guest {
  private process: Background | undefined;
  private agent: Agent | undefined;
  private qmp: Qmp | undefined;
  private told: Socket | undefined;
  /** Answers what programs in the guest say to the driver: guest-tell WORD ..., one line each. */
  onTold: (line: string) => Promise<string> = async () => 'nobody listens';

  private constructor(
    private readonly machine: Machine,
    readonly name: string,
  ) {}

  /** With a fresh disk; not switched on. */
  static async create(options: GuestOptions): Promise<Guest> {
    const { image, name, other, folder, base, memoryMib } = options;
    const machine = {
      image,
      folder,
      name,
      rootDisk: join(folder, `${name}.qcow2`),
      backingDisk: join(folder, `${name}.backing`),
      network: { own: join(folder, `${name}.net`), other: join(folder, `${other}.net`) },
      resumeFrom: memoryMib === undefined ? base.memory : undefined,
      memoryMib: memoryMib ?? MEMORY_MIB,
    };
    const overlay = ['create', '-q', '-f', 'qcow2', '-b', base.disk, '-F', base.format];
    await runOk('qemu-img', [...overlay, machine.rootDisk]);
    await runOk('truncate', ['--size', BACKING_DISK, machine.backingDisk]);
    return new Guest(machine, name);
  }

  /** Goes on from the saved state, if this guest has one, as a guest of its own name. */
  async start(): Promise<void> {
    if (this.machine.resumeFrom === undefined) {
      await this.powerOn();
      return;
    }
    await this.startProcess(this.machine);
    await eventually('the saved state', async () =>
      (await this.status()) === 'paused' ? true : undefined,
    );
    await this.control('cont');
    const seconds = (Date.now() / 1000).toFixed(3);
    const random = randomBytes(32).toString('hex');
    await this.runOk(`guest-name ${this.name} ${seconds} ${random}; mount -o ro /dev/vdc /mnt`);
  }

  /** Boots. Answers when the agent runs, which is before all services do. */
  async powerOn(deadlineMs = BOOT_DEADLINE_MS): Promise<void> {
    await this.startProcess({ ...this.machine, resumeFrom: undefined });
    await this.agentOf().hello(deadlineMs);
    await this.runOk('mountpoint -q /mnt || mount -o ro /dev/vdc /mnt');
  }

  async powerOff(): Promise<void> {
    this.agent?.close();
    this.qmp?.close();
    this.told?.destroy();
    await this.process?.kill();
    this.process = this.agent = this.qmp = undefined;
  }

  /** A clean restart: answers when the agent runs again. */
  async reboot(): Promise<void> {
    const booted = this.agentOf().hello(BOOT_DEADLINE_MS);
    await this.run('systemctl reboot', { deadlineMs: 10_000 });
    await booted;
    await this.runOk('mountpoint -q /mnt || mount -o ro /dev/vdc /mnt');
  }

  get isOn(): boolean {
    return this.process !== undefined && !this.process.hasEnded;
  }

  /** Runs a bash script as root. Exit status 124: it was not done in time and was killed. */
  run(script: string, { deadlineMs = COMMAND_DEADLINE_MS } = {}): Promise<Outcome> {
    return this.agentOf().run(script, deadlineMs);
  }

  /** The same, and exit status 0. Answers what it printed, without white space at its ends. */
  async runOk(script: string, options: { deadlineMs?: number } = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(script, options);
    if (status === 0) return stdout.trim();
    throw new Error(`${this.name}: exit status ${status}: ${script}\n${stdout}\n${stderr}`);
  }

  /** A command to qemu. */
  control(command: string, args: object = {}, deadlineMs = 20_000): Promise<unknown> {
    if (this.qmp === undefined) throw new Error(`${this.name} is switched off`);
    return this.qmp.execute(command, args, deadlineMs);
  }

  async status(): Promise<string> {
    const { status } = (await this.control('query-status')) as { status: string };
    return status;
  }

  /** Writes the memory to a file and ends; the disk is as it was at this moment. */
  async saveAndEnd(file: string): Promise<void> {
    await this.control('stop');
    await this.control('migrate-set-parameters', { 'max-bandwidth': 2 ** 33 });
    await this.control('migrate', { uri: `exec:cat > '${file}'` });
    await eventually('the state to be saved', async () => {
      const { status } = (await this.control('query-migrate')) as { status: string };
      if (status === 'failed') throw new Error('qemu could not save its state');
      return status === 'completed' ? true : undefined;
    });
    await this.powerOff();
  }

  private agentOf(): Agent {
    if (this.agent === undefined) throw new Error(`${this.name} is switched off`);
    return this.agent;
  }

  private async startProcess(machine: Machine): Promise<void> {
    const socket = (name: string): string => join(machine.folder, `${machine.name}.${name}`);
    for (const name of ['agent', 'tell', 'qmp']) rmSync(socket(name), { force: true });
    const log = join(machine.folder, `${machine.name}.qemu.log`);
    this.process = Background.start('qemu-system-x86_64', qemuArguments(machine), log);
    this.agent = await Agent.open(socket('agent'));
    this.qmp = await Qmp.open(socket('qmp'));
    this.listen(await connected(socket('tell')));
  }

  private listen(port: Socket): void {
    this.told = port;
    eachLine(port, (line) => {
      void this.onTold(line).then((answer) => port.write(`${answer}\n`));
    });
  }
}
