/**
 * What the administrator of a run may do, sensible or not. Commands run beside everything else;
 * what is refused is part of the game. An order to give data up is told to the checker.
 */
import type { Machine } from './machine';
import type { Action, Story } from './story';

function order(name: string, weight: number, run: (story: Story) => boolean): Action {
  return { name, weight, fault: false, run };
}

export const ORDERS: readonly Action[] = [
  order('promote', 3, (story) => story.primaries.length === 0 && promote(story, false)),
  { ...order('promoteForce', 0.25, (story) => promote(story, true)), onlyTwo: true },
  { ...order('promoteAnyway', 0.5, (story) => promote(story, false)), onlyTwo: true },
  order('promoteAgain', 0.1, promoteAgain),
  order('promoteAtOnce', 0.5, promoteAtOnce),
  order('demote', 0.5, demote),
  order('switchOver', 1, switchOver),
  order('disconnect', 1, disconnect),
  order('connect', 2, connect),
  order('connectDiscard', 0.5, connectDiscard),
  { ...order('connectDiscardAll', 0.2, connectDiscardAll), onlyTwo: true },
  order('resync', 0.5, (story) => resync(story, false)),
  order('resyncFull', 0.5, (story) => resync(story, true)),
  order('resyncTo', 0.5, (story) => resyncTo(story, false)),
  order('resyncFullTo', 0.5, (story) => resyncTo(story, true)),
  order('invalidate', 0.5, invalidate),
  order('invalidateRemote', 0.3, invalidateRemote),
  order('outdate', 0.4, outdate),
  order('detach', 0.6, detach),
  order('down', 0.5, down),
  order('end', 0.5, endDaemon),
  order('reconfigure', 0.5, reconfigure),
];

/** As the recoveries of faults.ts: always possible. */
export const RECOVERIES: readonly Action[] = [
  order('up', 4, up),
  order('attach', 3, attach),
  order('takeOver', 5, takeOver),
];

function isReady(machine: Machine): boolean {
  return machine.alive && machine.isUp;
}

/** Sometimes two administrators do at once. */
function takeOver(story: Story): boolean {
  if (story.primaries.length > 0) return false;
  return story.dice.oneIn(4) ? promoteAtOnce(story) : promote(story, false);
}

/** With three nodes only while every Secondary is connected to the others. */
function promote(story: Story, force: boolean): boolean {
  const machine = story.some((one) => isReady(one) && !one.isPrimary);
  if (machine === undefined || (story.three && !allConnected(story))) return false;
  story.order(machine.promote(force));
  return true;
}

function promoteAgain(story: Story): boolean {
  const machine = story.some((one) => isReady(one) && one.isPrimary);
  if (machine === undefined) return false;
  story.order(machine.promote(false));
  return true;
}

function allConnected(story: Story): boolean {
  return story.machines.every(
    (one) =>
      isReady(one) &&
      !one.isPrimary &&
      story.cluster.others(one).every((two) => one.peer(two).connectionState === 'Connected'),
  );
}

function promoteAtOnce(story: Story): boolean {
  if (story.primaries.length > 0 || (story.three && !allConnected(story))) return false;
  const ready = story.machines.filter(isReady);
  for (const machine of ready) {
    // It may have gone down while the one before was asked.
    if (isReady(machine)) story.order(machine.promote(false));
    if (story.dice.oneIn(2)) story.cluster.pass(story.dice.between(0, 3000));
  }
  return ready.length > 1;
}

/** Its clients hang up first, mostly. */
function demote(story: Story): boolean {
  const machine = story.some((one) => isReady(one) && one.isPrimary);
  if (machine === undefined) return false;
  if (story.dice.oneIn(5)) {
    story.order(machine.command('demote', () => machine.resource.demote()));
    return true;
  }
  story.crew.leave(machine);
  const demoting = machine.command('demote', () => machine.resource.demote());
  story.order(demoting.catch(() => story.crew.rejoin(machine)));
  return true;
}

function switchOver(story: Story): boolean {
  const from = story.some((one) => isReady(one) && one.isPrimary);
  if (from === undefined || !demote(story)) return false;
  const to = story.other(from);
  story.cluster.until(() => !from.isPrimary, 500_000);
  if (from.isPrimary || !isReady(to)) return true;
  if (story.three && !allConnected(story)) return true;
  story.order(to.promote(false));
  return true;
}

function disconnect(story: Story): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  const peer = story.dice.oneIn(2) ? { peer: story.other(machine).place.name } : {};
  story.order(machine.command('disconnect', () => machine.resource.disconnect(peer)));
  return true;
}

function connect(story: Story): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  const options = { discardMyData: false };
  story.order(machine.command('connect', () => machine.resource.connect(options)));
  return true;
}

function connectDiscard(story: Story): boolean {
  const machine = story.some((one) => isReady(one) && !one.isPrimary);
  if (machine === undefined) return false;
  giveUp(story, machine, () => discard(machine));
  return true;
}

/** Two administrators who do not know of each other: neither copy may go. */
function connectDiscardAll(story: Story): boolean {
  const ready = story.machines.filter((one) => isReady(one) && !one.isPrimary);
  for (const machine of ready) giveUp(story, machine, () => discard(machine));
  return ready.length > 1;
}

export function discard(machine: Machine): Promise<void> {
  const run = (): Promise<void> => machine.resource.connect({ discardMyData: true });
  return machine.command('connect --discard-my-data', run);
}

/** Orders something by which this copy's own data may go; it stays when every order is refused. */
export function giveUp(story: Story, machine: Machine, command: () => Promise<unknown>): void {
  const copy = story.checker.branches.copy(machine);
  const orders = story.surrenders.get(copy) ?? { pending: 0, stays: !copy.givenUp };
  story.surrenders.set(copy, orders);
  orders.pending += 1;
  copy.givenUp = true;
  const answered = (refused: boolean): void => {
    orders.pending -= 1;
    orders.stays &&= refused;
    // A resync that was under way has ended meanwhile: the order is about what comes after it.
    if (!refused) copy.givenUp = true;
    if (orders.pending > 0) return;
    story.surrenders.delete(copy);
    if (orders.stays) copy.givenUp = false;
  };
  command().then(
    () => answered(false),
    () => answered(true),
  );
}

function resync(story: Story, full: boolean): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  const name = full ? 'resync --full' : 'resync';
  const command = (): Promise<void> =>
    machine.command(name, () => machine.resource.resync({ full }));
  if (full) giveUp(story, machine, command);
  else story.order(command());
  return true;
}

function resyncTo(story: Story, full: boolean): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  const target = story.other(machine);
  const run = (): Promise<unknown> => machine.resource.resync({ full, to: target.place.name });
  const name = `resync --to ${target.name}${full ? ' --full' : ''}`;
  if (full) giveUp(story, target, () => machine.command(name, run));
  else story.order(machine.command(name, run));
  return true;
}

function invalidate(story: Story): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  giveUp(story, machine, () => machine.command('invalidate', () => machine.resource.invalidate()));
  return true;
}

function invalidateRemote(story: Story): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  const peer = story.other(machine);
  const run = (): Promise<unknown> => machine.resource.invalidateRemote(peer.place.name);
  giveUp(story, peer, () => machine.command('invalidate-remote', run));
  return true;
}

function outdate(story: Story): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  story.order(machine.command('outdate', () => machine.resource.outdate()));
  return true;
}

/** Mostly only what peers serve. */
function detach(story: Story): boolean {
  const machine = story.some((one) => mayGo(story, one) && one.hasDisk);
  if (machine === undefined) return false;
  const force = story.dice.oneIn(4);
  story.crew.expectErrors(machine);
  story.order(machine.command('detach', () => machine.resource.detach({ force })));
  return true;
}

function attach(story: Story): boolean {
  const machine = story.some((one) => isReady(one) && !one.hasDisk && one.pending.size === 0);
  if (machine === undefined) return false;
  story.order(machine.command('attach', () => machine.resource.attach()));
  return true;
}

function mayGo(story: Story, machine: Machine): boolean {
  return isReady(machine) && !(story.three && machine.isPrimary);
}

function down(story: Story): boolean {
  const machine = story.some((one) => mayGo(story, one));
  if (machine === undefined) return false;
  if (machine.isPrimary) story.crew.leave(machine);
  story.order(machine.down().catch(() => story.crew.rejoin(machine)));
  return true;
}

function endDaemon(story: Story): boolean {
  const machine = story.some((one) => mayGo(story, one));
  if (machine === undefined) return false;
  story.order(machine.end());
  return true;
}

function up(story: Story): boolean {
  const machine = story.some((one) => one.alive && !one.isUp && one.pending.size === 0);
  if (machine === undefined) return false;
  story.order(machine.start());
  return true;
}

function reconfigure(story: Story): boolean {
  const machine = story.some(isReady);
  if (machine === undefined) return false;
  const alExtents = story.dice.between(0, 5);
  const config = { ...machine.config, alExtents };
  const run = async (): Promise<void> => {
    await machine.resource.reconfigure(config);
    machine.config = config;
  };
  story.order(machine.command(`reconfigure al-extents ${alExtents}`, run));
  return true;
}
