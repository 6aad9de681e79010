/**
 * One seed: from fresh disks through operations and faults to a clean end. Throws a Violation
 * when an invariant does not hold.
 */
import { ORDERS, RECOVERIES } from './administrator';
import { Cluster, MOST_US } from './cluster';
import { ENDS, FAULTS } from './faults';
import { compare, heal, revive } from './healing';
import type { Machine } from './machine';
import { drainMicrotasks } from './microtasks';
import { meetMisfit } from './misfit';
import { drawPlan } from './plan';
import type { Plan } from './plan';
import type { SimAddon } from './simAddon';
import { Story } from './story';
import type { Action } from './story';
import { Violation } from './violation';

const MOST_ACTIONS = 400;
/** Of the operations that a burst has if all have the same; not all of them get to be asked. */
const LARGEST_SHARE = 4;
/** A burst is let through so many even when there are enough. */
const LEAST_SHARE = 20;
/** The last handlers end; one may shoot a node that has ended. */
const HANDLERS_US = 1_000_000;
/** To find an action that makes sense now. */
const MOST_TRIES = 20;

const PICKED = [...FAULTS, ...ORDERS];
const ALWAYS = [...ENDS, ...RECOVERIES];

export interface Outcome {
  readonly seed: number;
  /** What is wrong; absent: nothing. */
  readonly failure?: string;
  readonly operations: number;
  readonly virtualMs: number;
  /** By kind: as the run made them, and as the world says they hit. */
  readonly faults: Readonly<Record<string, number>>;
  readonly hits: Readonly<Record<string, number>>;
  readonly actions: number;
  readonly hash: string;
  readonly trace?: string;
}

/** `nodes`: 2 or 3, whatever the seed has. */
export function runSeed(addon: SimAddon, seed: number, tracing: boolean, nodes?: number): Outcome {
  const plan = drawPlan(seed, PICKED, nodes);
  const cluster = new Cluster(addon, plan, tracing);
  const history = new History(cluster, plan);
  let failure: string | undefined;
  try {
    history.run();
  } catch (error) {
    failure = error instanceof Violation ? error.message : String((error as Error).stack);
  }
  const outcome = history.outcome(failure, tracing);
  // What was still to be done finds its world.
  drainMicrotasks();
  cluster.world.close();
  return outcome;
}

class History {
  private readonly story: Story;
  private readonly actions: readonly Action[];
  private done = 0;

  constructor(
    private readonly cluster: Cluster,
    private readonly plan: Plan,
  ) {
    this.story = new Story(cluster);
    const picked = PICKED.flatMap((action) => {
      const weight = plan.weights.get(action.name);
      return weight === undefined ? [] : [{ ...action, weight }];
    });
    this.actions = [...picked, ...ALWAYS];
  }

  run(): void {
    this.begin();
    const { dice } = this.story;
    while (!this.isEnough()) {
      this.letClientsAsk();
      do this.act();
      while (!dice.oneIn(this.plan.burst));
      if (dice.oneIn(this.plan.healOneIn)) {
        this.story.crew.grant(this.share());
        if (dice.oneIn(4)) compare(this.story);
        else heal(this.story);
      }
    }
    compare(this.story);
    this.end();
  }

  outcome(failure: string | undefined, tracing: boolean): Outcome {
    const { world } = this.cluster;
    return {
      seed: this.plan.seed,
      ...(failure === undefined ? {} : { failure }),
      operations: world.operations(),
      virtualMs: Math.round(world.nowUs() / 1000),
      faults: Object.fromEntries(this.story.faults),
      hits: { ...world.faults(), ...Object.fromEntries(this.story.met) },
      actions: this.done,
      hash: world.traceHash().toString(16),
      ...(tracing ? { trace: this.trace() } : {}),
    };
  }

  /** What the machines did and what the world delivered, by time. */
  private trace(): string {
    const lines = [...this.cluster.said, ...this.cluster.world.traceText().split('\n')];
    const timed = lines
      .filter((line) => line !== '')
      .map((line) => ({ at: parseFloat(line), line }));
    return timed
      .sort((a, b) => a.at - b.at)
      .map(({ line }) => line)
      .join('\n');
  }

  private isEnough(): boolean {
    if (this.done >= MOST_ACTIONS) return true;
    const { faultCount } = this.story;
    const { faults, operations } = this.plan;
    return faultCount >= faults && this.cluster.world.operations() >= operations;
  }

  /** Operations for the next burst: faults and operations come to their end together. */
  private share(): number {
    const { dice, faultCount } = this.story;
    const { faults, operations } = this.plan;
    const left = Math.max(1, operations - this.cluster.world.operations());
    const bursts = (2 * Math.max(0, faults - faultCount)) / this.plan.burst;
    // After the last fault that is wanted, all that is left.
    if (bursts < 1) return Math.max(LEAST_SHARE, left);
    return dice.between(1, Math.max(LEAST_SHARE, Math.ceil((LARGEST_SHARE * left) / bursts)));
  }

  private letClientsAsk(): void {
    const { story, cluster } = this;
    story.crew.grant(this.share());
    const { pauseUs, reviveOneIn } = this.plan;
    const spent = cluster.until(() => story.crew.spent, story.dice.between(0, pauseUs));
    if (!spent && story.dice.oneIn(reviveOneIn)) revive(story);
  }

  /** Fresh metadata everywhere, everything up, the first copy UpToDate. */
  private begin(): void {
    const { cluster, story } = this;
    const { misfit } = this.plan;
    const [first] = cluster.machines;
    for (const machine of cluster.machines) {
      machine.boot();
      const meets = first !== undefined && machine !== first && misfit !== undefined;
      if (meets) meetMisfit(story, first, machine, misfit);
      cluster.finish(machine.create(meets), 'create-md');
      cluster.finish(machine.start(), 'up');
    }
    if (first === undefined) throw new Error('there is no node');
    cluster.world.model.setDevice(Number(first.metadata().sizeBytes));
    cluster.finish(first.promote(true), 'the first promotion');
    if (story.dice.oneIn(2)) heal(story);
  }

  private act(): void {
    const { story } = this;
    this.done += 1;
    let tries = 0;
    let action = story.dice.weighted(this.actions);
    while (!action.run(story)) {
      tries += 1;
      if (tries === MOST_TRIES) return;
      action = story.dice.weighted(this.actions);
    }
    if (action.fault) story.faults.set(action.name, (story.faults.get(action.name) ?? 0) + 1);
    lookAround(story);
  }

  /** A clean end leaves nothing to be recovered. Who is shot, on the way or before, has none. */
  private end(): void {
    const { story, cluster } = this;
    const clean = new Set<Machine>();
    for (const machine of cluster.machines) {
      story.crew.leave(machine);
      if (!machine.alive) continue;
      // An earlier crash counts until every other copy has been met.
      const crashed = machine.hasDisk && machine.metadata().crashed;
      const end = machine.end().then(() => {
        if (!crashed) clean.add(machine);
      });
      // The end of a process that died on the way never comes.
      story.order(end);
      cluster.until(() => machine.pending.size === 0, MOST_US);
      if (machine.running) cluster.finish(end, 'the end');
    }
    cluster.pass(HANDLERS_US);
    for (const machine of cluster.machines) {
      if (!machine.running) machine.boot();
      cluster.finish(machine.start(), 'up after a clean end');
      if (clean.has(machine) && machine.metadata().crashed) {
        throw new Violation(`a clean end of ${machine.name} counts as a crash`);
      }
    }
  }
}

/** As `blkmirror status` everywhere: whatever is half done can be told. */
function lookAround(story: Story): void {
  for (const machine of story.machines) {
    if (!machine.isUp) continue;
    const { role, mayPromote } = machine.resource.status();
    if (role !== 'Primary' || mayPromote) continue;
    throw new Violation(`${machine.name} is Primary, and promoting it would be refused`);
  }
}
