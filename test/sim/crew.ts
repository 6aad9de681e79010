/**
 * The clients of every machine: connected while it serves, and what they may be answered.
 */
import type { Cluster } from './cluster';
import type { Machine } from './machine';
import type { Branch, SimClient } from './simAddon';

export class Crew {
  private readonly branches = new Map<Machine, Branch>();
  private readonly resting = new Set<Machine>();
  private readonly troubled = new Set<Machine>();
  private readonly allowed = new Map<Machine, boolean>();
  private asking = false;

  constructor(private readonly cluster: Cluster) {
    cluster.world.allow(0);
    this.start();
  }

  /** The machine serves this branch from now on. */
  serve(machine: Machine, branch: Branch): void {
    this.branches.set(machine, branch);
    this.resting.delete(machine);
  }

  /** They may do so many operations more, and then pause until the next time. */
  grant(operations: number): void {
    this.cluster.world.allow(operations);
  }

  /** They have asked for all of it. */
  get spent(): boolean {
    return this.cluster.world.allowed() === 0;
  }

  /** Connects who can be connected. */
  tend(): void {
    for (const machine of this.cluster.machines) {
      const branch = this.branches.get(machine);
      if (branch === undefined || !machine.isPrimary || this.resting.has(machine)) continue;
      this.decideErrors(machine);
      for (const client of this.cluster.clientsOf(machine)) {
        if (!client.connected) this.connect(client, machine, branch);
      }
    }
  }

  /** They hang up, as before a demotion, until rejoin(). */
  leave(machine: Machine): void {
    this.resting.add(machine);
    for (const client of this.cluster.clientsOf(machine)) client.drop();
  }

  rejoin(machine: Machine): void {
    this.resting.delete(machine);
  }

  /** Its disk has been given faults: errors are an answer, until forgive(). */
  expectErrors(machine: Machine): void {
    this.troubled.add(machine);
    this.decideErrors(machine);
  }

  /** The disk is healthy again; what was asked before may still be answered with an error. */
  forgive(machine: Machine): void {
    if (!this.troubled.delete(machine)) return;
    for (const client of this.cluster.clientsOf(machine)) client.drop();
    this.decideErrors(machine);
  }

  stop(): void {
    this.asking = false;
    for (const client of this.all()) client.stop();
  }

  start(): void {
    this.asking = true;
    for (const client of this.all()) client.start();
  }

  get idle(): boolean {
    return this.all().every((client) => client.idle);
  }

  private all(): readonly SimClient[] {
    return this.cluster.machines.flatMap((machine) => this.cluster.clientsOf(machine));
  }

  private connect(client: SimClient, machine: Machine, branch: Branch): void {
    if (!machine.node.accepts(machine.socketPath)) return;
    if (!client.connect(machine.node, machine.socketPath, branch)) return;
    if (this.asking) client.start();
  }

  /** A Primary without a usable copy of its own may lose what it reads from. */
  private decideErrors(machine: Machine): void {
    const { state } = machine;
    const weak = state === undefined || state.diskState !== 'UpToDate';
    const allowed = weak || this.troubled.has(machine);
    if (this.allowed.get(machine) === allowed) return;
    this.allowed.set(machine, allowed);
    for (const client of this.cluster.clientsOf(machine)) client.allowErrors(allowed);
  }
}
