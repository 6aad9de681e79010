/**
 * The machines of one simulated run on one world, driven from plain code: the world runs until
 * something concerns JavaScript or a timer is due, then every microtask runs, and so on.
 */
import { present } from '../../src/model/assert';
import type { HandlerCall, HandlerEnd } from '../../src/model/handlers';
import type { EstablishPlan } from '../../src/plane/establishPlan';
import type { DeviceChange } from '../../src/resource/device';
import { configure } from './configuration';
import type { NodePlace } from './configuration';
import { Dice } from './dice';
import { Machine } from './machine';
import { drainMicrotasks } from './microtasks';
import type { Plan } from './plan';
import type { SimAddon, SimClient, SimWorld } from './simAddon';
import { Timeline } from './timeline';
import { Violation } from './violation';

export const DISK = '/disk';
const NAMES = ['alpha', 'beta', 'gamma'];
const META_BYTES = 4 << 20;
/** No command and no wait of the simulation takes longer. */
export const MOST_US = 200_000_000;

export interface Observer {
  changed(machine: Machine, change: DeviceChange): void;
  establishes(machine: Machine, peer: Machine, plan: EstablishPlan): void;
}

export class Cluster {
  readonly world: SimWorld;
  readonly machines: readonly Machine[];
  readonly clients = new Map<Machine, readonly SimClient[]>();
  /** What JavaScript and the administrator did, for the trace. */
  readonly said: string[] = [];
  observer: Observer | undefined;
  /** What a handler of the configuration does. */
  runHandler: (machine: Machine, call: HandlerCall) => Promise<HandlerEnd> = () =>
    Promise.reject(new Error('no handler is configured'));
  /** Called whenever something has happened. */
  afterStep: () => void = () => undefined;
  private readonly timeline = new Timeline();

  constructor(
    addon: SimAddon,
    readonly plan: Plan,
    private readonly tracing: boolean,
  ) {
    const { latencyUs, nodes } = plan;
    this.world = new addon.World(BigInt(plan.seed), { latencyUs, trace: tracing });
    const places = NAMES.slice(0, nodes).map((name, index) => placeOf(plan, name, index));
    const config = configure(plan.options, places);
    this.machines = places.map((place, index) => {
      const host = {
        timeline: this.timeline,
        dice: new Dice(plan.seed, 100 + index),
        nowUs: () => this.world.nowUs(),
        say: (text: string) => this.say(text),
        runHandler: (machine: Machine, call: HandlerCall) => this.runHandler(machine, call),
        onChange: (machine: Machine, change: DeviceChange) => {
          this.observer?.changed(machine, change);
        },
        onEstablish: (machine: Machine, peer: string, plan: EstablishPlan) => {
          this.observer?.establishes(machine, this.named(peer), plan);
        },
      };
      const node = this.world.addNode(place.name, [place.address]);
      node.addDisk(DISK, plan.diskBytes, plan.blockBytes);
      if (place.metaDisk !== 'internal') node.addDisk(place.metaDisk, META_BYTES, plan.blockBytes);
      const machine = new Machine(host, node, config);
      const crew = plan.clients.map((habits) => this.world.addClient(habits));
      this.clients.set(machine, crew);
      return machine;
    });
  }

  named(name: string): Machine {
    return present(
      this.machines.find((machine) => machine.name === name),
      `a machine ${name}`,
    );
  }

  others(machine: Machine): Machine[] {
    return this.machines.filter((other) => other !== machine);
  }

  clientsOf(machine: Machine): readonly SimClient[] {
    return this.clients.get(machine) ?? [];
  }

  say(text: string): void {
    if (this.tracing) this.said.push(`${this.world.nowUs()} ${text}`);
  }

  pass(us: number): void {
    this.until(() => false, us);
  }

  /** Runs until the condition holds (true) or the time is over (false). */
  until(condition: () => boolean, limitUs: number): boolean {
    const end = this.world.nowUs() + Math.round(limitUs);
    drainMicrotasks();
    for (;;) {
      if (condition()) return true;
      if (this.world.nowUs() >= end && this.timeline.nextUs() > end) return false;
      this.step(end);
    }
  }

  /** Until the promise has settled; `undefined` when it was not done in time. */
  finish<T>(promise: Promise<T>, what: string, limitUs = MOST_US): T {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    promise.then(
      (value) => void (outcome = { value }),
      (error: unknown) => void (outcome = { error }),
    );
    this.until(() => outcome !== undefined, limitUs);
    const settled = outcome as { readonly value: T } | { readonly error: unknown } | undefined;
    if (settled === undefined) throw new Violation(`${what} does not end`);
    if ('error' in settled) throw settled.error;
    return settled.value;
  }

  private step(end: number): void {
    const next = Math.min(end, this.timeline.nextUs());
    if (this.world.run(next) === 'violation') throw new Violation(this.world.violation());
    drainMicrotasks();
    const nowUs = this.world.nowUs();
    while (this.timeline.runNext(nowUs)) drainMicrotasks();
    this.afterStep();
  }
}

function placeOf(plan: Plan, name: string, index: number): NodePlace {
  return { name, address: `10.0.0.${index + 1}`, disk: DISK, metaDisk: plan.metaDisk };
}
