/**
 * What happens in one run: the machines, their clients, the checks, and the dice that decide.
 * Actions (faults.ts, administrator.ts) change it; healing.ts puts everything in order again.
 */
import type { Copy } from './branches';
import { Checker } from './checker';
import type { Cluster } from './cluster';
import { Crew } from './crew';
import { Dice } from './dice';
import { runHandler } from './handlers';
import type { ActionKind } from './plan';
import type { Machine } from './machine';

export interface Action extends ActionKind {
  readonly fault: boolean;
  /** false: it makes no sense now. */
  readonly run: (story: Story) => boolean;
}

/** A copy as it was once, with what the checker knew of it. */
export interface Snapshot {
  readonly disks: readonly (readonly [path: string, id: number])[];
  readonly copy: Copy;
}

/** Orders to give a copy up that are not answered; `stays`: none was followed so far. */
interface Surrender {
  pending: number;
  stays: boolean;
}

export class Story {
  readonly dice: Dice;
  readonly crew: Crew;
  readonly checker: Checker;
  /** Faults by kind. */
  readonly faults = new Map<string, number>();
  /** What the product was seen to do, by name. */
  readonly met = new Map<string, number>();
  readonly snapshots = new Map<Machine, Snapshot>();
  readonly surrenders = new Map<Copy, Surrender>();

  constructor(readonly cluster: Cluster) {
    this.dice = new Dice(cluster.plan.seed, 2);
    this.crew = new Crew(cluster);
    this.checker = new Checker(
      cluster,
      (machine, branch) => this.crew.serve(machine, branch),
      (what) => this.note(what),
    );
    cluster.observer = this.checker;
    cluster.runHandler = (machine, call) => runHandler(this, machine, call);
    cluster.afterStep = () => {
      this.checker.check();
      this.crew.tend();
    };
  }

  get machines(): readonly Machine[] {
    return this.cluster.machines;
  }

  get primaries(): Machine[] {
    return this.machines.filter((machine) => machine.isPrimary);
  }

  get three(): boolean {
    return this.machines.length > 2;
  }

  get faultCount(): number {
    return [...this.faults.values()].reduce((sum, count) => sum + count, 0);
  }

  note(what: string): void {
    this.met.set(what, (this.met.get(what) ?? 0) + 1);
  }

  say(text: string): void {
    this.cluster.say(`---- ${text}`);
  }

  /** One of those, if there are any. */
  some(wanted: (machine: Machine) => boolean): Machine | undefined {
    const found = this.machines.filter(wanted);
    return found.length === 0 ? undefined : this.dice.pick(found);
  }

  other(machine: Machine): Machine {
    return this.dice.pick(this.cluster.others(machine));
  }

  crash(machine: Machine, how: 'process' | 'power'): void {
    machine.crash(how);
    this.checker.crashed(machine, how);
  }

  /** The administrator's command; that it is refused is his business. */
  order(command: Promise<unknown>): void {
    command.catch(() => undefined);
  }

  boot(machine: Machine): void {
    machine.boot();
    this.order(machine.start());
  }
}
