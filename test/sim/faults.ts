/**
 * The faults that a run may meet, and what ends them. Counted by kind when they take place.
 */
import { DISK } from './cluster';
import type { Machine } from './machine';
import type { DiskBehaviour, MetadataArea } from './simAddon';
import type { Action, Snapshot, Story } from './story';

const AREAS: readonly MetadataArea[] = ['superblock0', 'superblock1', 'activityLog', 'bitmap'];
const DAMAGES = ['flip', 'tear', 'zero', 'misdirect'] as const;

function fault(name: string, weight: number, run: (story: Story) => boolean): Action {
  return { name, weight, fault: true, run };
}

/** Ends something; always possible, whatever the seed picked. */
function end(name: string, weight: number, run: (story: Story) => boolean): Action {
  return { name, weight, fault: false, run };
}

export const FAULTS: readonly Action[] = [
  fault('kill', 3, (story) => crash(story, 'process')),
  fault('power', 3, (story) => crash(story, 'power')),
  { ...fault('powerAll', 1, powerAll), onlyTwo: true },
  fault('pause', 2, pause),
  fault('stall', 1, stall),
  fault('cut', 3, (story) => cut(story, true)),
  fault('cutOneWay', 2, (story) => cut(story, false)),
  fault('delay', 1, delay),
  fault('reset', 3, reset),
  fault('refuse', 1, refuseDials),
  fault('slowDisk', 2, slowDisk),
  fault('hangDisk', 1, (story) => spoilDisk(story, { hang: true })),
  fault('readErrors', 1, (story) => spoilDisk(story, { readErrorRate: rate(story) })),
  fault('writeErrors', 1, (story) => spoilDisk(story, { writeErrorRate: rate(story) })),
  fault('flushErrors', 1, (story) => spoilDisk(story, { flushErrorRate: rate(story) })),
  fault('damage', 1, damage),
  { ...fault('restore', 1.5, restore), onlyTwo: true },
  { ...fault('restoreAll', 0.5, restoreAll), onlyTwo: true },
];

/** What the world counts of them; all of these must be met over many seeds. */
export const HITS = [
  'tornWrite',
  'lostSector',
  'readError',
  'writeError',
  'flushError',
  'heldOperation',
  'crashProcess',
  'crashPower',
  'pause',
  'reset',
  'heldSegment',
  'refusedDial',
  'damagedPage',
  'restoredDisk',
] as const;

/** What the product must have been seen to do. */
export const MET = [
  'split brain',
  'reverted',
  'attached again',
  'serves a diskless Primary',
  'gives up by policy',
  'handler fence-peer',
  'handler local-io-error',
] as const;

export const ENDS: readonly Action[] = [
  end('boot', 7, boot),
  end('mendLinks', 2, mendLinks),
  end('mendDisk', 1.5, mendDisk),
  end('resume', 5, resume),
  end('unstall', 5, unstall),
];

/** With three nodes a Primary stays. */
function victim(story: Story): Machine | undefined {
  return story.some((machine) => machine.running && !(story.three && isNeeded(story, machine)));
}

function isNeeded(story: Story, machine: Machine): boolean {
  return machine.isPrimary || story.primaries.length === 0;
}

function crash(story: Story, how: 'process' | 'power'): boolean {
  const machine = victim(story);
  if (machine === undefined) return false;
  story.crash(machine, how);
  return true;
}

function powerAll(story: Story): boolean {
  const running = story.machines.filter((machine) => machine.running);
  for (const machine of running) {
    story.crash(machine, 'power');
    if (story.dice.oneIn(3)) story.cluster.pass(story.dice.between(0, 2000));
  }
  return running.length > 0;
}

function pause(story: Story): boolean {
  const machine = story.three
    ? victim(story)
    : story.some((one) => one.running && !one.paused && !one.stalled);
  if (machine === undefined || !machine.alive) return false;
  machine.pause();
  return true;
}

function stall(story: Story): boolean {
  const machine = story.some((one) => one.alive);
  if (machine === undefined) return false;
  machine.stall();
  return true;
}

function cut(story: Story, both: boolean): boolean {
  const one = story.dice.pick(story.machines);
  const other = story.other(one);
  story.say(`cut ${one.name} ${both ? 'and' : 'to'} ${other.name}`);
  story.cluster.world.setCut(one.node, other.node, true);
  if (both) story.cluster.world.setCut(other.node, one.node, true);
  return true;
}

function delay(story: Story): boolean {
  const one = story.dice.pick(story.machines);
  const other = story.other(one);
  const least = story.dice.between(100, 30_000);
  story.say(`delay ${one.name} to ${other.name}`);
  story.cluster.world.setLatency(one.node, other.node, least, least * 2);
  return true;
}

function reset(story: Story): boolean {
  const one = story.dice.pick(story.machines);
  const other = story.other(one);
  story.say(`reset ${one.name} and ${other.name}`);
  return story.cluster.world.resetConnections(one.node, other.node) > 0;
}

function refuseDials(story: Story): boolean {
  const one = story.dice.pick(story.machines);
  const other = story.other(one);
  story.say(`refuse dials of ${one.name} to ${other.name}`);
  story.cluster.world.setRefusing(one.node, other.node, true);
  return true;
}

function diskOf(story: Story, machine: Machine): string {
  const { metaDisk } = machine.place;
  return metaDisk !== 'internal' && story.dice.oneIn(3) ? metaDisk : DISK;
}

function slowDisk(story: Story): boolean {
  const machine = story.dice.pick(story.machines);
  const slowest = story.dice.pick([1000, 5000, 20_000]);
  story.say(`slow disk on ${machine.name}`);
  machine.node.setDisk(diskOf(story, machine), {
    latencyUs: [20, slowest],
    flushUs: story.dice.between(10, 3 * slowest),
  });
  return true;
}

function rate(story: Story): number {
  return story.dice.pick([5000, 100_000, 1_000_000]);
}

/** With three nodes the Primary's disk stays healthy: its loss would be the Primary's. */
function spoilDisk(story: Story, behaviour: DiskBehaviour): boolean {
  const machine = victim(story);
  if (machine === undefined) return false;
  story.say(`${JSON.stringify(behaviour)} on ${machine.name}`);
  story.crew.expectErrors(machine);
  machine.node.setDisk(diskOf(story, machine), behaviour);
  return true;
}

/** Of a node that is down, as rotten bits are found at the next start. */
function damage(story: Story): boolean {
  const machine = story.some((one) => !one.running);
  if (machine === undefined) return false;
  const { metaDisk } = machine.place;
  const area = story.dice.pick(AREAS);
  const how = story.dice.pick(DAMAGES);
  story.say(`${how} in ${area} of ${machine.name}`);
  return machine.node.damageMetadata(metaDisk === 'internal' ? DISK : metaDisk, area, how);
}

/** A disk image from before is put back: the copy has forgotten what came since. */
function restore(story: Story): boolean {
  const machine = story.some((one) => !one.running);
  if (machine === undefined) return false;
  const snapshot = story.snapshots.get(machine);
  if (snapshot === undefined || story.dice.oneIn(4)) {
    keep(story, machine);
    return false;
  }
  putBack(story, machine, snapshot);
  return true;
}

/** The whole mirror goes back, each copy to a time of its own. */
function restoreAll(story: Story): boolean {
  const found = story.machines.flatMap((machine) => {
    const snapshot = story.snapshots.get(machine);
    return snapshot === undefined ? [] : [{ machine, snapshot }];
  });
  if (found.length < story.machines.length) return false;
  for (const { machine, snapshot } of found) {
    if (machine.running) story.crash(machine, 'power');
    putBack(story, machine, snapshot);
  }
  return true;
}

function putBack(story: Story, machine: Machine, { disks, copy }: Snapshot): void {
  story.say(`${machine.name} is restored from a snapshot`);
  for (const [path, id] of disks) machine.node.restoreDisk(path, id);
  story.checker.restored(machine, copy);
}

function keep(story: Story, machine: Machine): void {
  const copy = story.checker.tryKeep(machine);
  if (copy === undefined) return;
  const { metaDisk } = machine.place;
  const paths = metaDisk === 'internal' ? [DISK] : [DISK, metaDisk];
  const disks = paths.map((path) => [path, machine.node.snapshotDisk(path)] as const);
  story.say(`a snapshot of ${machine.name}`);
  story.snapshots.set(machine, { disks, copy });
}

function boot(story: Story): boolean {
  const machine = story.some((one) => !one.running);
  if (machine === undefined) return false;
  story.boot(machine);
  return true;
}

export function mendLinks(story: Story): boolean {
  const { world, plan } = story.cluster;
  story.say('links are mended');
  for (const one of story.machines) {
    for (const other of story.cluster.others(one)) {
      world.setCut(one.node, other.node, false);
      world.setRefusing(one.node, other.node, false);
      world.setLatency(one.node, other.node, plan.latencyUs[0], plan.latencyUs[1]);
    }
  }
  return true;
}

function mendDisk(story: Story): boolean {
  healDisks(story, story.dice.pick(story.machines));
  return true;
}

export function healDisks(story: Story, machine: Machine): void {
  machine.node.healDisk(DISK);
  if (machine.place.metaDisk !== 'internal') machine.node.healDisk(machine.place.metaDisk);
  const { state, usesDisk } = machine;
  if (state?.diskState === 'UpToDate' && usesDisk) story.crew.forgive(machine);
}

function resume(story: Story): boolean {
  const machine = story.some((one) => one.paused);
  machine?.resume();
  return machine !== undefined;
}

function unstall(story: Story): boolean {
  const machine = story.some((one) => one.stalled);
  machine?.unstall();
  return machine !== undefined;
}
