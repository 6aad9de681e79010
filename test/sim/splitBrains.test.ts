// Split brain that the nodes settle by themselves, and what an administrator is told of it: every
// policy, with 0, 1 and 2 Primaries, over the simulator.

import { compare } from './healing';
import type { Machine } from './machine';
import type { Options } from './configuration';
import type { Story } from './story';
import {
  SMALL,
  WRITERS,
  close,
  cut,
  demote,
  mirror,
  outside,
  pair,
  run,
  until,
  write,
} from './stage';

afterEach(close);

type Name = 'alpha' | 'beta';

interface Parting {
  /** Each begins a generation of its own; what it writes: so many operations. */
  readonly writes: Readonly<Record<Name, number>>;
  /** Alpha is Primary when they part, else none is and both are promoted afterwards. */
  readonly alphaStays: boolean;
  /** Who is still Primary when they meet. */
  readonly primaries: readonly Name[];
}

const [WRITER] = WRITERS;
const CLIENTS = [WRITER, { ...WRITER, flushPercent: 100 }];
const PARTING: Parting = { writes: { alpha: 60, beta: 10 }, alphaStays: true, primaries: [] };

function options(policies: Options): Options {
  return {
    'resource.device': 'none',
    'net.timeout-ms': 500,
    'net.after-sb-0pri': 'disconnect',
    'handlers.pri-lost': '/bin/handler',
    'handlers.pri-lost-after-sb': '/bin/handler',
    ...policies,
  };
}

/** They go on without each other, and have not met again. */
function part(policies: Options, { writes, alphaStays, primaries }: Parting): Story {
  const story = mirror(31, { ...SMALL, clients: CLIENTS, options: options(policies) });
  const [alpha, beta] = pair(story);
  write(story, 20);
  if (!alphaStays) demote(story, alpha);
  cut(story, alpha, beta, true);
  until(story, () => [alpha, beta].every((one) => one.peer(story.other(one)).role === 'Unknown'));
  for (const [machine, other] of [
    [alpha, beta],
    [beta, alpha],
  ] as const) {
    story.crew.leave(other);
    if (!machine.isPrimary)
      run(story, machine, 'promote', () => machine.resource.promote({ force: false }));
    goOn(story, machine, writes[machine.name as Name]);
    if (!primaries.includes(machine.name as Name)) demote(story, machine);
  }
  // Nobody uses them when they meet.
  for (const machine of [alpha, beta]) story.crew.leave(machine);
  return story;
}

/** A flush begins a generation, too. */
function goOn(story: Story, machine: Machine, operations: number): void {
  const [writer] = story.cluster.clientsOf(machine);
  story.crew.rejoin(machine);
  story.crew.tend();
  if (operations === 0) writer?.stop();
  const { currentUuid } = machine.metadata();
  write(story, Math.max(1, operations));
  expect(machine.metadata().currentUuid).not.toBe(currentUuid);
  writer?.start();
}

/** What the nodes say of how it was settled. */
function listen(story: Story): string[] {
  const told: string[] = [];
  story.cluster.observer = {
    changed: (machine, change) => {
      if (change.type === 'settled') told.push(`${machine.name}: ${change.message}`);
      story.checker.changed(machine, change);
    },
    establishes: (machine, peer, plan) => story.checker.establishes(machine, peer, plan),
  };
  return told;
}

function isSplit(one: Machine, two: Machine): boolean {
  const { connectionState, reason } = one.peer(two);
  return connectionState === 'StandAlone' && reason.startsWith('split brain');
}

/** Both keep what they wrote until somebody decides. */
function expectNothingDropped(story: Story): void {
  const [alpha, beta] = pair(story);
  const { branches } = story.checker;
  const before = [alpha, beta].map((one) => branches.copy(one).branch);
  cut(story, alpha, beta, false);
  until(story, () => isSplit(alpha, beta) && isSplit(beta, alpha));
  story.cluster.pass(2_000_000);
  expect([alpha, beta].map((one) => branches.copy(one).branch)).toEqual(before);
  expect(isSplit(alpha, beta) && isSplit(beta, alpha)).toBe(true);
}

/** The other becomes a copy of the winner, which stays what it is. */
function expectSettled(story: Story, winner: Machine, loser: Machine): void {
  const { branch } = story.checker.branches.copy(winner);
  const { role } = winner.state ?? {};
  cut(story, winner, loser, false);
  until(story, () => loser.peer(winner).replicationState === 'Established');
  expect(story.checker.branches.copy(loser).branch).toBe(branch);
  expect(winner.state?.role).toBe(role);
  expect(loser.state).toMatchObject({ role: 'Secondary', diskState: 'UpToDate' });
}

interface Case extends Partial<Parting> {
  readonly zero?: string;
  readonly one?: string;
  readonly two?: string;
  readonly winner: Name | 'nobody';
  /** As the nodes say. */
  readonly by?: string;
}

const FEW = { alpha: 10, beta: 60 };
const NONE = { alpha: 0, beta: 0 };
const ASKED = '--discard-my-data';
const LEAST = 'discard-least-changes';
const BOTH = ['alpha', 'beta'] as const;

const CASES: readonly Case[] = [
  { zero: 'disconnect', winner: 'nobody' },
  { zero: 'discard-younger-primary', winner: 'alpha' },
  { zero: 'discard-older-primary', winner: 'beta' },
  // Neither is the younger one: who wrote more.
  { zero: 'discard-younger-primary', alphaStays: false, winner: 'alpha' },
  { zero: 'discard-younger-primary', alphaStays: false, writes: FEW, winner: 'beta' },
  { zero: 'discard-older-primary', alphaStays: false, winner: 'alpha' },
  { zero: 'discard-zero-changes', winner: 'nobody' },
  { zero: 'discard-zero-changes', writes: { alpha: 60, beta: 0 }, winner: 'alpha' },
  { zero: 'discard-zero-changes', writes: { alpha: 0, beta: 10 }, winner: 'beta' },
  { zero: LEAST, winner: 'alpha' },
  { zero: LEAST, writes: FEW, winner: 'beta' },
  // Of equals the one whose name sorts first stays.
  { zero: LEAST, writes: NONE, winner: 'alpha' },
  { zero: 'discard-node-alpha', winner: 'beta' },
  { zero: 'discard-node-beta', winner: 'alpha' },
  { zero: LEAST, one: 'disconnect', primaries: ['alpha'], winner: 'nobody' },
  { zero: LEAST, one: 'consensus', primaries: ['alpha'], winner: 'alpha' },
  { zero: LEAST, one: 'consensus', primaries: ['beta'], winner: 'nobody' },
  { one: 'discard-secondary', primaries: ['beta'], winner: 'beta' },
  { one: 'violently-as0p', primaries: ['beta'], winner: 'nobody' },
  { zero: LEAST, one: 'violently-as0p', primaries: ['beta'], winner: 'alpha', by: ASKED },
  { zero: LEAST, one: 'call-pri-lost-after-sb', primaries: ['beta'], winner: 'alpha', by: ASKED },
  { zero: LEAST, two: 'disconnect', primaries: BOTH, winner: 'nobody' },
  { zero: LEAST, two: 'violently-as0p', primaries: BOTH, winner: 'alpha', by: ASKED },
  { zero: LEAST, two: 'call-pri-lost-after-sb', primaries: BOTH, winner: 'alpha', by: ASKED },
];

/** The options that decide, and what they are set to. */
function deciding({ zero = 'disconnect', one, primaries = [] }: Case): string {
  // Each node calls it by whose changes go.
  const first = `after-sb-0pri = ${zero.replace(/discard-node-\w+/, 'discard-(local|remote)')}`;
  if (primaries.length === 0) return first;
  const second = `after-sb-1pri = ${one}`;
  return one === 'discard-secondary' ? second : `${second}, ${first}`;
}

test.each(CASES.map((one) => [JSON.stringify(one), one] as const))(
  'split brain is settled as the policies say: %s',
  (_name, one) =>
    outside(() => {
      const { zero = 'disconnect', one: single = 'disconnect', two = 'disconnect' } = one;
      const policies = {
        'net.after-sb-0pri': zero,
        'net.after-sb-1pri': single,
        'net.after-sb-2pri': two,
      };
      const story = part(policies, { ...PARTING, ...one });
      const told = listen(story);
      const [alpha, beta] = pair(story);
      if (one.winner === 'nobody') {
        expectNothingDropped(story);
        expect(told).toEqual([]);
      } else {
        const [winner, loser] = one.winner === 'alpha' ? [alpha, beta] : [beta, alpha];
        expectSettled(story, winner, loser);
        const how = `settled by ${one.by ?? deciding(one)}: ${loser.name} gives up what it wrote`;
        // The winner does not, where the connection was lost after the other had given up.
        const tellers = told.map((text) => text.split(':')[0]).sort();
        expect([['alpha', 'beta'], [loser.name]]).toContainEqual(tellers);
        for (const text of told) expect(text).toMatch(new RegExp(how));
      }
      compare(story);
    })(),
);
