/**
 * Watches what the resources say and do, and what follows for the copies: who continues which
 * history, which resync may overwrite what, that no two Primaries are connected, that no command
 * waits for ever. What clients read and what copies hold is checked by the world's model.
 */
import type { DiskState } from '../../src/model/states';
import type { EstablishPlan } from '../../src/plane/establishPlan';
import type { DeviceChange } from '../../src/resource/device';
import { isTarget } from '../../src/rules/transitions';
import { Branches } from './branches';
import type { Copy } from './branches';
import { DISK, MOST_US } from './cluster';
import type { Cluster, Observer } from './cluster';
import type { Machine } from './machine';
import { isAutomatic } from './policies';
import type { Branch } from './simAddon';
import { Violation } from './violation';

const LOOKS_BETWEEN_DEADLINES = 64;

/** A resync: what its source had. Of one that was cut off the target may still write the end. */
interface Copying {
  /** The target receives what its source writes. */
  live: boolean;
  readonly source: Machine;
  /** The target had all of that generation before: it must not lose what a weak source lacks. */
  readonly held: boolean;
  branch: Branch;
  weak: boolean;
  /** The source was put back from a snapshot, and its copy with it. */
  restored: boolean;
  /** The target's generation when it began, where the source's was another one. */
  readonly before: bigint | undefined;
}

export class Checker implements Observer {
  readonly branches: Branches;
  /** Split brains that were reported and not resolved, as `alpha beta`: by whom, with whom. */
  readonly splits = new Set<string>();
  private readonly copying = new Map<Machine, Copying>();
  /** Copies that were the same in the present lives of both nodes. */
  private readonly together = new Set<string>();
  private readonly agreed = new Set<string>();
  private readonly targets = new Map<string, boolean>();
  private readonly primaries = new Set<Machine>();
  /** Of who was Secondary when last looked at. */
  private readonly diskStates = new Map<Machine, DiskState>();
  /** Their copies are attached. */
  private readonly attachedOnes = new Set<Machine>();
  /** They have been attached since they are up. */
  private readonly lives = new Set<Machine>();
  failure: Error | undefined;
  private looks = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly onPromoted: (machine: Machine, branch: Branch) => void,
    /** What is worth to be counted. */
    private readonly note: (what: string) => void,
  ) {
    const say = (text: string): void => cluster.say(text);
    this.branches = new Branches(cluster.world.model, cluster.machines, this.protocol !== 'C', say);
  }

  /** Called by the state gate: whatever is wrong is thrown by check(), outside of it. */
  changed(machine: Machine, change: DeviceChange): void {
    try {
      this.look(machine, change);
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  /** From here on one of both counts on the other; what is out of sync is known. */
  establishes(machine: Machine, peer: Machine, plan: EstablishPlan): void {
    try {
      const { resync } = plan;
      this.cluster.say(`${machine.name} establishes with ${peer.name}: ${resync}`);
      if (plan.peerDiskless) this.serves(machine, peer);
      if (plan.resync === 'target') this.resyncBegins(machine, peer);
      else if (plan.resync === 'none' && hasBothDisks(machine, plan)) this.agrees(machine, peer);
    } catch (error) {
      this.failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  check(): void {
    if (this.failure !== undefined) throw this.failure;
    this.looks += 1;
    if (this.looks % LOOKS_BETWEEN_DEADLINES !== 0) return;
    const nowUs = this.cluster.world.nowUs();
    for (const { pending } of this.cluster.machines) {
      for (const { name, sinceUs } of pending) {
        if (nowUs - sinceUs > MOST_US) throw new Violation(`${name} does not end`);
      }
    }
  }

  crashed(machine: Machine, how: 'process' | 'power'): void {
    const copy = this.branches.copy(machine);
    copy.crashed = true;
    if (how === 'power') copy.weak = true;
    this.left(machine);
  }

  /** What is known of a copy whose node is down; undefined: not all of it. */
  tryKeep(machine: Machine): Copy | undefined {
    const copy = this.branches.copy(machine);
    const kept = { ...copy, crashed: true, restored: true };
    return this.copying.has(machine) ? undefined : kept;
  }

  /** The copy is again what it was when that was kept, on its medium. */
  restored(machine: Machine, kept: Copy): void {
    this.copying.delete(machine);
    Object.assign(this.branches.copy(machine), kept);
  }

  /** The administrator allows that what only this copy has is overwritten. */
  givesUp(machine: Machine): void {
    this.branches.copy(machine).givenUp = true;
  }

  private look(machine: Machine, change: DeviceChange): void {
    if (change.type === 'splitBrain') {
      this.note('split brain');
      this.splits.add(`${machine.name} ${change.peer}`);
    }
    const { state } = machine;
    if (state === undefined) {
      this.left(machine);
      return;
    }
    if (!machine.hasDisk) this.detached(machine);
    else if (!this.attachedOnes.has(machine)) this.attached(machine);
    else if (!machine.isPromoting) this.resyncEndsLate(machine);
    for (const other of this.cluster.others(machine)) this.lookAtPeer(machine, other);
    if (state.role === 'Primary' && !this.primaries.has(machine)) this.promoted(machine);
    if (state.role !== 'Primary') {
      this.primaries.delete(machine);
      this.diskStates.set(machine, state.diskState);
    }
    // Of two, each generation is seen where it matters; of three, others' come over the wire.
    if (this.cluster.machines.length > 2) this.branches.see(machine);
    this.refuseTwoPrimaries(machine);
  }

  /** Whether a resync had finished when the process died, its superblock tells. */
  private attached(machine: Machine): void {
    this.attachedOnes.add(machine);
    if (this.lives.has(machine)) this.note('attached again');
    this.lives.add(machine);
    const copy = this.branches.see(machine);
    const copying = this.copying.get(machine);
    this.copying.delete(machine);
    // So was an end that its disk did not take down: rule 7 goes by the flags.
    copy.crashed ||= machine.metadata().crashed;
    if (copying === undefined || !machine.metadata().consistent) return;
    // With the generation of its source it would have finished.
    if (copying.before === copy.uuid) {
      throw new Violation(`${machine.name} is Consistent in the middle of a resync`);
    }
    // A crash came after the end of the resync, or with it.
    const { weak, crashed } = copy;
    this.adopt(copy, copying);
    copy.weak ||= weak;
    copy.crashed = crashed;
  }

  private left(machine: Machine): void {
    for (const [target, copying] of this.copying) {
      if (target === machine || copying.source === machine) copying.live = false;
    }
    this.primaries.delete(machine);
    this.lives.delete(machine);
    for (const other of this.cluster.others(machine)) this.targets.delete(pair(machine, other));
    this.detached(machine);
  }

  /** The copy does not follow the others any more. */
  private detached(machine: Machine): void {
    if (!this.attachedOnes.delete(machine)) return;
    for (const other of this.cluster.others(machine)) {
      this.agreed.delete(pair(machine, other));
      this.agreed.delete(pair(other, machine));
      this.together.delete(pair(machine, other));
      this.together.delete(pair(other, machine));
    }
  }

  private meet(one: Machine, two: Machine): void {
    this.together.add(pair(one, two));
    this.together.add(pair(two, one));
  }

  private lookAtPeer(machine: Machine, other: Machine): void {
    const key = pair(machine, other);
    const { replicationState } = machine.peer(other);
    const target = isTarget(replicationState);
    if (!target && this.targets.get(key) === true) this.resyncEnds(machine);
    this.targets.set(key, target);
    if (replicationState === 'Established') this.splits.delete(key);
  }

  private resyncBegins(target: Machine, source: Machine): void {
    const copy = this.branches.see(target);
    const from = this.branches.see(source);
    const lost = this.branches.exclusive(copy, from);
    if (lost > 0 && !copy.givenUp && isAutomatic(this.cluster.plan.options)) {
      this.cluster.say(`${target.name} gives up ${lost} writes by policy`);
      this.note('gives up by policy');
      copy.givenUp = true;
    }
    if (lost > 0 && !copy.givenUp) {
      const what = `${lost} acknowledged writes that only ${target.name} has`;
      throw new Violation(`${what} are overwritten from ${source.name} without an order`);
    }
    if (target.isPrimary) this.goesOn(copy, from);
    const same = copy.branch === from.branch && copy.uuid === from.uuid;
    const held = same && !copy.mixed && !copy.weak && !copy.crashed && !copy.givenUp;
    copy.mixed = true;
    const before = copy.uuid === from.uuid ? undefined : copy.uuid;
    const { branch, weak, restored } = from;
    this.copying.set(target, { live: true, source, held, branch, weak, restored, before });
  }

  /** A Primary's clients are where they were, also when its source was promoted for nothing. */
  private goesOn(primary: Copy, source: Copy): void {
    if (source.branch === primary.branch || this.branches.exclusive(source, primary) > 0) return;
    const { weak, restored } = source;
    this.branches.place(source, primary.branch);
    Object.assign(source, { weak, restored });
  }

  private resyncEnds(target: Machine): void {
    // Without a disk, only the next attach tells.
    if (!target.hasDisk) return;
    const copy = this.branches.see(target);
    const copying = this.copying.get(target);
    if (copying === undefined) return;
    copying.live = false;
    if (!target.metadata().consistent) return;
    this.copying.delete(target);
    this.adopt(copy, copying);
    if (copying.source.isUp) this.meet(target, copying.source);
  }

  /** It was cut off while the target wrote its end: from there on that has all it was sent. */
  private resyncEndsLate(target: Machine): void {
    const copying = this.copying.get(target);
    if (copying === undefined || copying.live || !target.metadata().consistent) return;
    this.copying.delete(target);
    const { crashed } = this.branches.copy(target);
    const copy = this.branches.see(target);
    this.adopt(copy, copying);
    // The product has not forgotten it: the source does not know.
    copy.crashed = crashed;
  }

  private adopt(copy: Copy, { branch, weak, restored, held }: Copying): void {
    this.branches.place(copy, branch);
    copy.restored = restored;
    // In A a crashed Primary is the source, whatever its power cost it.
    copy.weak = weak && !(held && this.protocol !== 'A');
    copy.crashed = false;
  }

  /** From here on this copy is what the clients of a Primary without a disk see. */
  private serves(machine: Machine, primary: Machine): void {
    this.note('serves a diskless Primary');
    const { branch } = this.branches.copy(primary);
    const wrong = this.cluster.world.model.checkCopy(branch, machine.node, DISK);
    if (wrong !== '') {
      throw new Violation(`${machine.name} serves ${primary.name}, but it lacks: ${wrong}`);
    }
    const copy = this.branches.see(machine);
    if (copy.branch !== branch) this.branches.place(copy, branch);
  }

  /** One end may still find that the other's copy went on meanwhile, and end the connection. */
  private agrees(machine: Machine, peer: Machine): void {
    if (!this.agreed.delete(pair(peer, machine))) {
      this.agreed.add(pair(machine, peer));
      return;
    }
    this.joined(machine, peer);
  }

  /** Nothing is out of sync between them, they say. */
  private joined(one: Machine, two: Machine): void {
    const [a, b] = [this.branches.see(one), this.branches.see(two)];
    const parted = [this.branches.exclusive(a, b), this.branches.exclusive(b, a)];
    if (parted.some((count) => count > 0)) {
      const what = `have ${parted.join(' and ')} writes of their own`;
      throw new Violation(`${one.name} and ${two.name} are taken for equal but ${what}`);
    }
    const [from, to] = this.leads(one, two) ? [a, b] : [b, a];
    const { weak, restored } = from;
    this.branches.place(to, from.branch);
    Object.assign(to, { weak, restored });
    a.crashed = b.crashed = false;
    this.meet(one, two);
  }

  /** Of two Secondaries the one that goes along with a Primary, or which lost nothing. */
  private leads(one: Machine, two: Machine): boolean {
    if (one.isPrimary || two.isPrimary) return one.isPrimary;
    const [a, b] = [this.branches.copy(one), this.branches.copy(two)];
    if (this.branches.isFork(a.branch, b.branch)) return true;
    return !a.weak && !this.branches.isFork(b.branch, a.branch);
  }

  private promoted(machine: Machine): void {
    this.primaries.add(machine);
    const before = this.diskStates.get(machine) ?? '';
    if (['Inconsistent', 'Outdated'].includes(before) && !machine.isForced) {
      throw new Violation(`${machine.name} is promoted without --force: its copy is ${before}`);
    }
    const copy = this.branches.copy(machine);
    const source = this.liveSource(machine);
    // By force an Inconsistent copy begins a generation that does not tell of the one before it.
    if (before !== 'Inconsistent' || source !== undefined) this.branches.seeBefore(machine);
    // By force: it is declared whole, and is not.
    if (copy.mixed && source === undefined) this.copying.delete(machine);
    const branch =
      copy.mixed && source !== undefined
        ? this.forkWithSource(machine, source)
        : this.branches.fork(machine, !copy.mixed);
    for (const other of this.cluster.others(machine)) this.takeAlong(machine, other, branch);
    this.onPromoted(machine, branch);
  }

  /** A Primary that is SyncTarget shows what its source has. */
  private forkWithSource(machine: Machine, source: Machine): Branch {
    this.branches.see(source);
    const branch = this.branches.fork(source, true);
    const copy = this.branches.copy(machine);
    this.branches.place(copy, branch);
    copy.mixed = copy.servedMixed = true;
    return branch;
  }

  /** Who receives what the new Primary writes, or will when its resync ends, goes along. */
  private takeAlong(machine: Machine, other: Machine, branch: Branch): void {
    const copy = this.branches.copy(other);
    if (this.together.has(pair(machine, other)) && machine.feeds(other) && !copy.mixed) {
      const marked = machine.outOfSyncBytes(other) + other.outOfSyncBytes(machine);
      if (marked > 0) this.branches.admit(other, branch);
      this.branches.place(copy, branch);
    }
    const source = this.liveSource(machine);
    for (const copying of this.copying.values()) {
      if (!copying.live || (copying.source !== machine && copying.source !== source)) continue;
      copying.branch = branch;
      copying.weak = copying.restored = false;
    }
  }

  private liveSource(machine: Machine): Machine | undefined {
    return this.cluster
      .others(machine)
      .find((other) => other.isUp && isTarget(machine.peer(other).replicationState));
  }

  private refuseTwoPrimaries(machine: Machine): void {
    if (!machine.isPrimary) return;
    for (const other of this.cluster.others(machine)) {
      if (!other.isPrimary || !this.replicates(machine, other)) continue;
      if (!this.replicates(other, machine)) continue;
      throw new Violation(`${machine.name} and ${other.name} are connected and both Primary`);
    }
  }

  private get protocol(): unknown {
    return this.cluster.plan.options['resource.protocol'] ?? 'C';
  }

  private replicates(machine: Machine, other: Machine): boolean {
    const { connectionState, replicationState } = machine.peer(other);
    return connectionState === 'Connected' && replicationState !== 'Off';
  }
}

/** A node without a disk is served by the other one: there are not two copies to be equal. */
function hasBothDisks(machine: Machine, plan: EstablishPlan): boolean {
  return !plan.peerDiskless && machine.hasDisk;
}

function pair(machine: Machine, other: Machine): string {
  return `${machine.name} ${other.name}`;
}
