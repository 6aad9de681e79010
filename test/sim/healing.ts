/**
 * Puts everything in order, as a patient administrator would: no fault is left, every node runs,
 * what parted is decided, and all copies come into sync within bounded time. Then nothing is in
 * flight, all copies are identical and as the model says.
 */
import { toMirrorError } from '../../src/model/errors';
import type { MirrorError } from '../../src/model/errors';
import { isTarget } from '../../src/rules/transitions';
import { discard, giveUp } from './administrator';
import { DISK } from './cluster';
import { healDisks, mendLinks } from './faults';
import type { Machine } from './machine';
import type { Story } from './story';
import { Violation } from './violation';

const ROUNDS = 40;
const ROUND_US = 4_000_000;
const IDLE_US = 60_000_000;
const REST_US = 300_000;
/** What parts two copies for good is known on both nodes by then. */
const ROUNDS_ALONE = 5;
/** Verdicts that end StandAlone, as the reasons begin with them. */
const LASTING = ['split brain', 'reverted', 'unrelated'] as const;
type Lasting = (typeof LASTING)[number];

/** One look of the administrator. */
interface Visit {
  readonly round: number;
  /** Rounds for which something has been so that must not stay so. */
  readonly alone: Map<string, number>;
}

export function heal(story: Story): void {
  story.say('heal');
  mend(story, () => inSync(story));
}

/** Only until clients have asked for what they may: the copies may still be far apart. */
export function revive(story: Story): void {
  story.say('revive');
  mend(story, () => story.crew.spent);
}

function mend(story: Story, isEnough: () => boolean): void {
  mendLinks(story);
  for (const machine of story.machines) repair(story, machine);
  const alone = new Map<string, number>();
  for (let round = 0; round < ROUNDS; round += 1) {
    if (story.cluster.until(isEnough, ROUND_US)) return;
    story.say(`round ${round}: ${describe(story)}`);
    nudge(story, { round, alone });
  }
  throw new Violation(`it does not come into sync: ${describe(story)}`);
}

/** heal(), and afterwards every copy is looked at. */
export function compare(story: Story): void {
  heal(story);
  story.crew.stop();
  const { cluster, crew, checker } = story;
  if (!cluster.until(() => crew.idle, IDLE_US)) {
    throw new Violation(`requests are not answered: ${describe(story)}`);
  }
  // What clients asked for that hung up may still be on its way.
  cluster.pass(REST_US);
  heal(story);
  const primary = story.primaries[0];
  if (primary === undefined) throw new Violation('the Primary is gone');
  const { model } = cluster.world;
  const wrong = model.checkCopy(checker.branches.copy(primary).branch, primary.node, DISK);
  if (wrong !== '') throw new Violation(`at rest ${primary.name} holds what it must not: ${wrong}`);
  for (const other of cluster.others(primary)) {
    const difference = model.compareCopies(primary.node, DISK, other.node, DISK);
    if (difference !== '') {
      throw new Violation(`${primary.name} and ${other.name} differ at rest: ${difference}`);
    }
  }
  crew.start();
}

function repair(story: Story, machine: Machine): void {
  healDisks(story, machine);
  if (machine.paused) machine.resume();
  if (machine.stalled) machine.unstall();
  if (!machine.running) story.boot(machine);
}

function inSync(story: Story): boolean {
  const [primary, ...more] = story.primaries;
  if (primary === undefined || more.length > 0) return false;
  if (story.machines.some((machine) => machine.pending.size > 0)) return false;
  if (primary.state?.diskState !== 'UpToDate') return false;
  return story.cluster.others(primary).every((other) => isMirror(primary, other));
}

function isMirror(primary: Machine, other: Machine): boolean {
  if (!other.isUp || other.state?.diskState !== 'UpToDate') return false;
  const states = [primary.peer(other), other.peer(primary)];
  if (states.some((state) => state.replicationState !== 'Established')) return false;
  return primary.outOfSyncBytes(other) === 0 && other.outOfSyncBytes(primary) === 0;
}

/** One look at everything that keeps the copies apart. */
function nudge(story: Story, visit: Visit): void {
  const whole = story.machines.every((machine) => machine.isUp);
  for (const machine of story.machines) restart(story, machine, visit.round);
  if (visit.round > 0) resumeIo(story);
  const [first, ...more] = story.primaries;
  for (const machine of more) demote(story, machine);
  for (const machine of story.machines) {
    if (!machine.isUp) continue;
    for (const other of story.cluster.others(machine)) reconcile(story, machine, other, visit);
  }
  // A promotion would have who is still on its way fenced, and shot again.
  if (first === undefined && (whole || visit.round > ROUNDS_ALONE)) appoint(story, visit.round);
}

/** A copy that failed is attached anew, a daemon that could not bring it up tries again. */
function restart(story: Story, machine: Machine, round: number): void {
  if (!machine.running) story.boot(machine);
  else if (machine.pending.size > 0) return;
  else if (!machine.isUp) bringUp(story, machine);
  else if (hasNoDisk(machine)) attach(story, machine, round);
}

/** Refused to a Primary that nobody serves: it has to be demoted first. */
function attach(story: Story, machine: Machine, round: number): void {
  if (machine.isPrimary && round > 1) {
    demote(story, machine);
    return;
  }
  story.order(machine.command('attach', () => machine.resource.attach()));
}

/** Metadata that is damaged beyond its second slot is made anew. */
function bringUp(story: Story, machine: Machine): void {
  if (!/create-md|repair-md/.test(machine.failure?.message ?? '')) {
    story.order(machine.start());
    return;
  }
  giveUp(story, machine, () => createAnew(machine));
}

/** It may die in between. */
async function createAnew(machine: Machine): Promise<void> {
  await machine.create(true);
  if (machine.running) await machine.start();
}

/** No fault is left: whoever was not fenced is not Primary, or is demoted now. */
function resumeIo(story: Story): void {
  const [machine, ...more] = story.primaries;
  if (machine === undefined || more.length > 0) return;
  if (machine.config.fencing !== 'resource-and-stonith') return;
  story.order(machine.command('resume-io', () => machine.resource.resumeIo()));
}

function hasNoDisk(machine: Machine): boolean {
  return machine.state?.diskState === 'Failed' || machine.state?.diskState === 'Diskless';
}

function demote(story: Story, machine: Machine): void {
  story.crew.leave(machine);
  const demoting = machine.command('demote', () => machine.resource.demote());
  story.order(demoting.catch((error: unknown) => endSuspension(machine, toMirrorError(error))));
}

/** Its peer is fenced, the refusal says, and nothing but this order is left to be done. */
async function endSuspension(machine: Machine, { message }: MirrorError): Promise<void> {
  if (!/ is fenced \(.*: run resume-io$/.test(message) || !machine.isUp) return;
  await machine.command('resume-io', () => machine.resource.resumeIo());
}

function appoint(story: Story, round: number): void {
  const ready = story.machines.filter((machine) => machine.isUp);
  const best = ready.filter(
    (machine) => machine.state?.diskState === 'UpToDate' && !waitsForOutdated(story, machine),
  );
  const force = round > 3 && best.length === 0;
  const outdated = ready.filter((one) => one.state?.diskState === 'Outdated');
  const [machine] = best.length > 0 ? [story.dice.pick(best)] : [...outdated, ...ready];
  if (machine === undefined) return;
  story.order(machine.promote(force));
}

/** Its copy is older than one that was declared Outdated: only that one can go on. */
function waitsForOutdated(story: Story, machine: Machine): boolean {
  return story.cluster.others(machine).some(({ state, place }) => {
    const peer = machine.state?.peers.get(place.name);
    const waits = peer?.reason.startsWith('the copy to resync from is Outdated') === true;
    return waits && state?.diskState === 'Outdated';
  });
}

function reconcile(story: Story, machine: Machine, other: Machine, visit: Visit): void {
  const { connectionState, replicationState } = machine.peer(other);
  const { round } = visit;
  if (connectionState === 'StandAlone') {
    decide(story, machine, other, visit);
  } else if (connectionState === 'Connected' && replicationState === 'Off' && round > 1) {
    unblock(story, machine, other, round);
  } else if (replicationState === 'Established' && machine.outOfSyncBytes(other) > 0) {
    // Two that were just created are filled first.
    if (machine.state?.diskState !== 'Inconsistent') resync(story, machine, other, visit);
  }
}

function verdictOf(machine: Machine, other: Machine): Lasting | undefined {
  const { connectionState, reason } = machine.peer(other);
  if (connectionState !== 'StandAlone') return undefined;
  return LASTING.find((verdict) => reason.startsWith(verdict));
}

/** Nothing is decided before both nodes say the same. */
function decide(story: Story, machine: Machine, other: Machine, visit: Visit): void {
  const verdict = verdictOf(machine, other);
  const others = verdictOf(other, machine);
  if (verdict !== undefined && others !== verdict) {
    // Two that met as Primaries are split brain, also where nothing relates their copies.
    if (others !== undefined) connect(story, machine);
    else awaitOther(machine, other, verdict, visit);
    return;
  }
  visit.alone.delete(`${machine.name} ${other.name}`);
  if (verdict === 'split brain') discardOne(story, machine, other, visit.round);
  else if (verdict === 'reverted') takeBackReverted(story, machine, other, visit.round);
  else if (verdict === 'unrelated') recreate(story, machine, other);
  else connect(story, machine);
}

/** The other one connects, and so finds out; who stays StandAlone for another reason is told to. */
function awaitOther(machine: Machine, other: Machine, verdict: Lasting, { alone }: Visit): void {
  const key = `${machine.name} ${other.name}`;
  const able = other.isUp && !hasNoDisk(other) && !hasNoDisk(machine) && other.pending.size === 0;
  const rounds = able ? (alone.get(key) ?? 0) + 1 : 0;
  alone.set(key, rounds);
  if (rounds <= ROUNDS_ALONE) return;
  const reason = other.peer(machine).reason;
  throw new Violation(`${machine.name} says ${verdict}, but ${other.name} does not: ${reason}`);
}

/** Only a write that the disk refused and the policy passed on may leave bits behind. */
function resync(story: Story, machine: Machine, other: Machine, visit: Visit): void {
  if (machine.config.onIoError !== 'pass_on') {
    const key = `${machine.name} with ${other.name}`;
    const rounds = (visit.alone.get(key) ?? 0) + 1;
    visit.alone.set(key, rounds);
    if (rounds <= ROUNDS_ALONE) return;
    throw new Violation(`${key} is Established and stays out of sync`);
  }
  const request = machine.isPrimary ? { full: false, to: other.place.name } : { full: false };
  story.order(machine.command('resync', () => machine.resource.resync(request)));
}

function connect(story: Story, machine: Machine): void {
  const options = { discardMyData: false };
  story.order(machine.command('connect', () => machine.resource.connect(options)));
}

/** Split brain: the one that is not Primary, else the second, gives up. */
function discardOne(story: Story, machine: Machine, other: Machine, round: number): void {
  const [first, second] = [machine, other].sort((a, b) => (a.name < b.name ? -1 : 1));
  const victim = second?.isPrimary === true && first?.isPrimary === false ? first : second;
  if (victim !== machine) connect(story, machine);
  else if (machine.isPrimary) demote(story, machine);
  else if (round % 4 === 3) takeBack(story, machine, 0);
  else giveUp(story, machine, () => discard(machine));
}

/** Both were promoted by force before they ever met: one of them begins anew. */
function recreate(story: Story, machine: Machine, other: Machine): void {
  const [, second] = [machine, other].sort((a, b) => (a.name < b.name ? -1 : 1));
  const victim = second?.isPrimary === true && !(machine.isPrimary && other.isPrimary);
  const chosen = victim ? story.machines.find((one) => !one.isPrimary) : second;
  if (chosen !== machine) {
    connect(story, machine);
    return;
  }
  if (machine.isPrimary) {
    demote(story, machine);
    return;
  }
  giveUp(story, machine, () => recreateCopy(machine));
}

/** The reason names who went back. */
function takeBackReverted(story: Story, machine: Machine, other: Machine, round: number): void {
  const { reason } = machine.peer(other);
  story.note('reverted');
  if (reason.includes('copies of')) recreate(story, machine, other);
  else if (reason.includes('no source')) chooseCopy(story, machine, other);
  else if (reason.includes(`on ${machine.name} went back`)) takeBack(story, machine, round);
  else connect(story, machine);
}

/** Beside the copy that went back only an unfinished one is left: either may go on. */
function chooseCopy(story: Story, machine: Machine, other: Machine): void {
  if (machine.peer(other).reason.includes(`on ${machine.name} went back`)) {
    takeBack(story, machine, ROUNDS);
  } else if (machine.isPrimary) {
    demote(story, machine);
  } else if (machine.state?.diskState !== 'Inconsistent') {
    connect(story, machine);
  } else if (story.dice.oneIn(2)) {
    giveUp(story, machine, () => recreateCopy(machine));
  } else {
    promoteByForce(story, machine);
  }
}

function promoteByForce(story: Story, machine: Machine): void {
  story.order(machine.promote(true));
}

async function recreateCopy(machine: Machine): Promise<void> {
  await machine.down();
  if (machine.running) await createAnew(machine);
}

function takeBack(story: Story, machine: Machine, round: number): void {
  if (machine.isPrimary) {
    if (round > 2) demote(story, machine);
    return;
  }
  const run = (): Promise<unknown> => machine.resource.resync({ full: true });
  giveUp(story, machine, () => machine.command('resync --full', run));
}

/** Connected and waiting: a newer but unusable copy is given up; of none usable one is taken. */
function unblock(story: Story, machine: Machine, other: Machine, round: number): void {
  if (isFilled(story, machine)) return;
  const own = machine.state?.diskState;
  // Its Outdated copy is all there is: it is taken by force, when nobody is Primary.
  if (own === 'Outdated' && other.isPrimary) demote(story, other);
  const { diskState, reason } = machine.peer(other);
  // Attached again, and the copy that served it may have lost what clients have seen.
  if (own === 'Negotiating' && reason.includes('demote the Primary')) demote(story, machine);
  if (own !== 'Inconsistent') return;
  if (diskState === 'UpToDate' || diskState === 'Consistent') {
    if (machine.isPrimary) demote(story, machine);
    else takeBack(story, machine, 0);
  } else if (diskState !== 'Outdated' && round % 3 === 2 && story.primaries.length === 0) {
    promoteByForce(story, machine);
  }
}

/** However long that takes. */
function isFilled(story: Story, machine: Machine): boolean {
  return story.cluster
    .others(machine)
    .some((other) => isTarget(machine.peer(other).replicationState));
}

export function describe(story: Story): string {
  return story.machines
    .map((machine) => {
      const { state } = machine;
      if (state === undefined) return `${machine.name} is ${machine.running ? 'not up' : 'off'}`;
      const peers = story.cluster.others(machine).map((other) => {
        const peer = machine.peer(other);
        const left = machine.outOfSyncBytes(other);
        const words = `${peer.connectionState} ${peer.replicationState} ${peer.diskState}`;
        return `${other.name} ${words} ${left} (${peer.reason})`;
      });
      return `${machine.name} ${state.role} ${state.diskState}: ${peers.join(', ')}`;
    })
    .join('; ');
}
