// Connections that are made while something else changes, another of them or the configuration, and
// what a peer tells that cannot be: over the simulator, one step after the other.

import { present } from '../../src/model/assert';
import type { ConfiguredPolicies } from '../../src/model/policies';
import type { Hello } from '../../src/resource/hello';
import type { PeerConnection } from '../../src/resource/peerConnection';
import { DISK } from './cluster';
import { compare } from './healing';
import type { Machine } from './machine';
import {
  SMALL,
  THREE,
  close,
  cut,
  cutOff,
  demote,
  mirror,
  outside,
  pair,
  run,
  standsFor,
  trio,
  until,
  write,
} from './stage';
import type { Story } from './story';

afterEach(close);

const OPTIONS = { 'resource.device': 'none', 'net.timeout-ms': 500 };
/** Less than timeout-ms: who is not answered still waits. */
const REST_US = 100_000;
/** Whoever dials tells of what was there before. */
const DIALS_US = 1_000_000;

interface Hellos {
  readonly told: Hello | undefined;
  readonly heard: Hello | undefined;
}

const isLinked = (one: Machine, other: Machine): boolean =>
  one.peer(other).replicationState === 'Established';

function connectionOf(one: Machine, other: Machine): PeerConnection {
  const connections = Reflect.get(one.resource, 'connections') as Map<string, PeerConnection>;
  return present(connections.get(other.name), `${one.name} knows ${other.name}`);
}

/** What both have said so far on the connection that they negotiate. */
function hellosOf(one: Machine, other: Machine): Hellos {
  const link = Reflect.get(connectionOf(one, other), 'link') as Hellos | undefined;
  return { told: link?.told, heard: link?.heard };
}

test(
  'a promotion that nobody was asked for ends the connection and changes nothing else',
  outside(() => {
    const story = mirror(81, SMALL);
    const [alpha, beta] = pair(story);
    write(story, 50);
    connectionOf(beta, alpha).send({ type: 'commit', id: 1 });
    until(story, () => alpha.peer(beta).connectionState !== 'Connected');
    expect(alpha.peer(beta).reason).toBe('two Primaries are connected: this node and beta');
    expect(story.primaries).toEqual([alpha]);
    until(story, () => isLinked(alpha, beta));
    compare(story);
    expect(story.primaries).toEqual([alpha]);
  }),
);

/**
 * The others connect while its JavaScript stalls, which then hears of all of them at once; what
 * ends these handshakes comes at once, too.
 */
function meetAtOnce(story: Story, machine: Machine): void {
  const others = story.cluster.others(machine);
  const peer = machine.place.name;
  story.cluster.pass(REST_US);
  for (const one of others) run(story, one, 'disconnect', () => one.resource.disconnect({ peer }));
  machine.stall();
  for (const one of others) {
    cut(story, machine, one, false);
    run(story, one, 'connect', () => one.resource.connect({ peer, discardMyData: false }));
  }
  story.cluster.pass(REST_US);
  machine.unstall();
  const said = (): Hello[] => others.flatMap((one) => hellosOf(machine, one).told ?? []);
  until(story, () => said().length === others.length);
  machine.stall();
  story.cluster.pass(REST_US);
  machine.unstall();
}

/** All are Secondary, and have met before. */
function threeSecondaries(seed: number): [Story, Machine, Machine, Machine] {
  const story = mirror(seed, THREE);
  const [alpha, beta, gamma] = trio(story);
  demote(story, alpha);
  until(story, () => isLinked(beta, gamma) && isLinked(alpha, gamma) && isLinked(alpha, beta));
  return [story, alpha, beta, gamma];
}

/**
 * Gamma is unfinished, and alpha or beta has begun to fill it; alpha has what beta has and more.
 * Both begin at the same moment: answers whom gamma takes, and whom not.
 */
function twoSources(seed: number, first: 'alpha' | 'beta'): [Story, Machine, Machine] {
  const [story, alpha, beta, gamma] = threeSecondaries(seed);
  const filler = story.cluster.named(first);
  run(story, filler, 'promote', () => filler.resource.promote({ force: false }));
  cutOff(story, beta, gamma);
  cutOff(story, alpha, gamma);
  write(story, 300);
  gamma.node.setDisk(DISK, { latencyUs: [5000, 10_000] });
  cut(story, filler, gamma, false);
  until(story, () => gamma.peer(filler).replicationState === 'SyncTarget');
  cutOff(story, filler, gamma);
  gamma.node.healDisk(DISK);
  expect(gamma.state?.diskState).toBe('Inconsistent');
  demote(story, filler);
  cutOff(story, alpha, beta);
  run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
  write(story, 100);
  demote(story, alpha);
  meetAtOnce(story, gamma);
  const refused = (one: Machine): boolean =>
    gamma.peer(one).reason === 'a copy has one source at a time';
  until(story, () => refused(alpha) || refused(beta));
  const [taken, other] = refused(beta) ? [alpha, beta] : [beta, alpha];
  expect(gamma.peer(taken).replicationState).toBe('WFBitMapT');
  expect(gamma.peer(other).replicationState).toBe('Off');
  return [story, taken, other];
}

test(
  'a copy that two others begin to fill at the same moment has one source',
  outside(() => {
    const [story] = twoSources(82, 'alpha');
    const gamma = story.cluster.named('gamma');
    until(story, () => gamma.state?.diskState === 'UpToDate');
    compare(story);
  }),
);

test.each(['alpha', 'beta'] as const)(
  'where the one source of two goes away, the other overwrites what that has filled (%s began)',
  (first) =>
    outside(() => {
      const [story, taken, other] = twoSources(86, first);
      const gamma = story.cluster.named('gamma');
      gamma.node.setDisk(DISK, { latencyUs: [60_000, 100_000] });
      until(story, () => gamma.peer(taken).replicationState === 'SyncTarget');
      const { model } = story.cluster.world;
      const differ = (): string => model.compareCopies(other.node, DISK, gamma.node, DISK);
      const before = differ();
      until(story, () => differ() !== before);
      story.cluster.world.resetConnections(taken.node, gamma.node);
      cutOff(story, taken, gamma);
      gamma.node.healDisk(DISK);
      until(story, () => isLinked(gamma, other) && isLinked(other, gamma));
      expect(gamma.metadata().currentUuid).toBe(other.metadata().currentUuid);
      expect(differ()).toBe('');
      compare(story);
    })(),
);

test(
  'a copy that becomes a target while it begins to feed another feeds nobody',
  outside(() => {
    const [story, alpha, beta, gamma] = threeSecondaries(83);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    cutOff(story, alpha, gamma);
    cutOff(story, beta, gamma);
    write(story, 100);
    demote(story, beta);
    cutOff(story, alpha, beta);
    run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
    write(story, 100);
    demote(story, alpha);
    // Now gamma is behind beta, and beta behind alpha.
    meetAtOnce(story, beta);
    const refusal = 'a copy that is Inconsistent is no source for gamma';
    until(story, () => beta.peer(gamma).reason === refusal);
    until(story, () => isLinked(beta, alpha) && beta.state?.diskState === 'UpToDate');
    compare(story);
  }),
);

/** Both have it read anew at the moment in which one of them has heard of the other. */
function reconfigureMeeting(story: Story, change: Partial<ConfiguredPolicies>): void {
  const [alpha, beta] = pair(story);
  story.cluster.pass(DIALS_US);
  cut(story, alpha, beta, false);
  const hasHeard = (): boolean =>
    hellosOf(alpha, beta).heard !== undefined || hellosOf(beta, alpha).heard !== undefined;
  until(story, hasHeard);
  for (const one of [alpha, beta]) {
    const config = { ...one.config, splitBrain: { ...one.config.splitBrain, ...change } };
    run(story, one, 'reconfigure', () => one.resource.reconfigure(config));
    one.config = config;
  }
}

/** Split brain on both, and each keeps what it has. */
function expectUndecided(story: Story): void {
  const [alpha, beta] = pair(story);
  const { branches } = story.checker;
  const before = [alpha, beta].map((one) => branches.copy(one).branch);
  const split = (): boolean =>
    standsFor('split brain', alpha, beta) && standsFor('split brain', beta, alpha);
  until(story, split);
  story.cluster.pass(1_000_000);
  expect(split()).toBe(true);
  expect([alpha, beta].map((one) => branches.copy(one).branch)).toEqual(before);
}

function connectBoth(story: Story): void {
  for (const one of pair(story)) {
    run(story, one, 'connect', () => one.resource.connect({ discardMyData: false }));
  }
}

test(
  'split brain is left open where the policies change while the nodes meet',
  outside(() => {
    const options = { ...OPTIONS, 'net.after-sb-0pri': 'discard-least-changes' };
    const story = mirror(84, { ...SMALL, options });
    const [alpha, beta] = pair(story);
    cutOff(story, alpha, beta);
    write(story, 60);
    demote(story, alpha);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 10);
    demote(story, beta);
    const { branch } = story.checker.branches.copy(beta);
    reconfigureMeeting(story, { zero: 'disconnect', discardNode: alpha.place.name });
    expectUndecided(story);
    // From here on both know the new ones, by which the copy with more changes goes.
    connectBoth(story);
    until(story, () => isLinked(alpha, beta) && isLinked(beta, alpha));
    expect(story.checker.branches.copy(alpha).branch).toBe(branch);
    compare(story);
  }),
);

test(
  'a Primary behind its peer stays Primary where the policies change while the nodes meet',
  outside(() => {
    const story = mirror(85, { ...SMALL, options: { ...OPTIONS, 'net.rr-conflict': 'violently' } });
    const [alpha, beta] = pair(story);
    demote(story, alpha);
    cutOff(story, alpha, beta);
    run(story, beta, 'promote', () => beta.resource.promote({ force: false }));
    write(story, 10);
    demote(story, beta);
    run(story, alpha, 'promote', () => alpha.resource.promote({ force: false }));
    story.crew.leave(alpha);
    reconfigureMeeting(story, { conflict: 'call-pri-lost' });
    expectUndecided(story);
    expect(story.primaries).toEqual([alpha]);
    // Nobody uses it: by the new ones it yields without a handler.
    connectBoth(story);
    until(story, () => isLinked(alpha, beta) && isLinked(beta, alpha));
    expect(story.primaries).toEqual([]);
    compare(story);
  }),
);
