/**
 * The histories of the device and which copy holds what of them.
 *
 * A branch (simAddon.ts) begins where a copy is promoted without another one. A copy's place is a
 * branch and its own currentUuid: by rule 6 it holds what was acknowledged up to that generation.
 * Two copies of which each has acknowledged writes that the other lacks have parted.
 */
import { present } from '../../src/model/assert';
import { DISK } from './cluster';
import type { Machine } from './machine';
import type { Branch, SimModel } from './simAddon';
import { Violation } from './violation';

interface Fork {
  readonly parent: Branch;
  /** currentUuid of the copy that it began with. */
  readonly uuid: bigint;
}

export interface Copy {
  readonly name: string;
  branch: Branch;
  /** As its superblock had it when last seen. */
  uuid: bigint;
  /** Those before it, newest first. */
  history: readonly bigint[];
  /** Its node lost power since it was known to hold all: what was not flushed may be missing. */
  weak: boolean;
  /** It crashed since it was in sync: of two such copies rule 7 takes the last Primary's. */
  crashed: boolean;
  /** Put back from a snapshot: of its generation it has what there was then. */
  restored: boolean;
  /** A resync of it has begun and not finished: it holds nothing for certain. */
  mixed: boolean;
  /** Writes were acknowledged on it while it was mixed. */
  servedMixed: boolean;
  /** The administrator gave up what it alone has. */
  givenUp: boolean;
}

export class Branches {
  private readonly copies = new Map<Machine, Copy>();
  private readonly forks = new Map<Branch, Fork>();

  constructor(
    private readonly model: SimModel,
    machines: readonly Machine[],
    /** Protocols A and B: the last of its generation may be missing, but in their order. */
    private readonly lagging: boolean,
    private readonly say: (text: string) => void,
  ) {
    for (const machine of machines) {
      this.copies.set(machine, {
        name: machine.name,
        branch: 0,
        uuid: 0n,
        history: [],
        weak: false,
        crashed: false,
        restored: false,
        mixed: false,
        servedMixed: false,
        givenUp: false,
      });
    }
  }

  copy(machine: Machine): Copy {
    return present(this.copies.get(machine), 'a machine of the cluster');
  }

  /** Looks at what its superblock says. */
  see(machine: Machine): Copy {
    const copy = this.copy(machine);
    if (!machine.hasDisk) return copy;
    const { currentUuid, historyUuids } = machine.metadata();
    copy.uuid = currentUuid;
    copy.history = historyUuids;
    return copy;
  }

  /** The generation that its copy had before it was promoted, which may have begun a new one. */
  seeBefore(machine: Machine): void {
    const copy = this.copy(machine);
    const { currentUuid, historyUuids } = machine.metadata();
    if (historyUuids[0] === copy.uuid) return;
    copy.uuid = currentUuid;
    copy.history = historyUuids;
  }

  /** The copy, as it was when last seen, goes on without the others; `checked`: as it must be. */
  fork(machine: Machine, checked: boolean): Branch {
    const copy = this.copy(machine);
    const { lagging } = this;
    const uuid = this.generationOf(copy);
    const whole = this.wholeGenerationOf(copy);
    const held = checked ? { uuid: whole, powerLost: copy.weak, lagging } : undefined;
    const branch = this.model.fork(copy.branch, machine.node, DISK, held);
    this.forks.set(branch, { parent: copy.branch, uuid });
    this.place(copy, branch);
    return branch;
  }

  /**
   * The copy goes along on a branch that was just forked, though a write that a disk refused
   * (on-io-error = pass_on) parts it from the one that was promoted: of such a write nobody was
   * told that it is there, nor that it is not.
   */
  admit(machine: Machine, branch: Branch): void {
    const copy = this.copy(machine);
    const wrong = this.model.admit(branch, copy.branch, machine.node, DISK);
    if (wrong !== '') throw new Violation(`${copy.name} goes along, but it lacks: ${wrong}`);
  }

  /** The copy holds all of that branch. */
  place(copy: Copy, branch: Branch): void {
    this.say(`${copy.name} is on branch ${branch} at ${copy.uuid.toString(16)}`);
    copy.branch = branch;
    copy.mixed = copy.weak = copy.restored = copy.servedMixed = copy.givenUp = false;
  }

  /** Acknowledged writes that the copy has by its history and the other one has not. */
  exclusive(copy: Copy, other: Copy): number {
    if (copy.mixed && !copy.servedMixed) return 0;
    // One generation of one branch: neither goes beyond it, also where nothing was written in it.
    if (copy.branch === other.branch && copy.uuid === other.uuid) return 0;
    const otherLine = this.ancestors(other);
    let count = 0;
    for (const { branch, uuid } of this.ancestors(copy)) {
      const common = otherLine.find((place) => place.branch === branch);
      const beyond = this.model.acknowledgedAfter(branch, uuid);
      if (common !== undefined) {
        return count + Math.max(0, this.model.acknowledgedAfter(branch, common.uuid) - beyond);
      }
      count += this.model.facts(branch).acknowledged - beyond;
    }
    return count;
  }

  /** Whether `branch` was forked from `from`, or from one that was. */
  isFork(branch: Branch, from: Branch): boolean {
    for (let fork = this.forks.get(branch); fork !== undefined;) {
      if (fork.parent === from) return true;
      fork = this.forks.get(fork.parent);
    }
    return false;
  }

  /** What was begun by order and not written under says nothing: the last before it does. */
  private generationOf({ branch, uuid, history }: Copy): bigint {
    return [uuid, ...history].find((one) => this.model.knows(branch, one)) ?? uuid;
  }

  /** All that was acknowledged up to here it has. */
  private wholeGenerationOf(copy: Copy): bigint {
    const { branch, uuid, history, restored } = copy;
    if (!restored) return this.generationOf(copy);
    return history.find((one) => one !== uuid && this.model.knows(branch, one)) ?? 0n;
  }

  /** Its own place and, for each branch it descends from, where it left that. */
  private ancestors(copy: Copy): { readonly branch: Branch; readonly uuid: bigint }[] {
    const line = [{ branch: copy.branch, uuid: this.generationOf(copy) }];
    for (let fork = this.forks.get(copy.branch); fork !== undefined;) {
      line.push({ branch: fork.parent, uuid: fork.uuid });
      fork = this.forks.get(fork.parent);
    }
    return line;
  }
}
