/**
 * Logs every change of a state that an administrator would ask for afterwards: of the resource
 * (role, disk state, suspension, generation) and of each peer (connection and why it fell,
 * replication, role, disk state). Progress is not logged.
 */
import type { Logger } from 'pino';
import type { ResourceName } from '../model/states';
import type { DeviceStatus } from '../model/status';
import type { MirrorDevice } from '../resource/device';
import type { ChangeHub, Changes } from './changeHub';

/** By name. */
type States = Readonly<Record<string, string | boolean | null>>;
/** For each peer by its name; the resource itself is `''`. */
type Seen = ReadonlyMap<string, States>;

export class StateLog {
  private readonly seen = new Map<ResourceName, Seen>();

  constructor(
    changes: ChangeHub,
    private readonly tryDevice: (name: ResourceName) => MirrorDevice | undefined,
    private readonly log: Logger,
  ) {
    changes.subscribe((change) => this.follow(change));
  }

  private follow({ resources }: Changes): void {
    for (const name of resources) {
      const device = this.tryDevice(name);
      if (device === undefined) this.seen.delete(name);
      else this.compare(name, statesOf(device.status()));
    }
  }

  private compare(resource: ResourceName, now: Seen): void {
    const before = this.seen.get(resource);
    this.seen.set(resource, now);
    for (const [thing, states] of now) {
      const old = before?.get(thing) ?? {};
      const names = Object.keys(states).filter((name) => states[name] !== old[name]);
      if (names.length === 0) continue;
      const fields = Object.fromEntries(names.map((name) => [name, states[name]]));
      const peer = thing === '' ? {} : { peer: thing };
      this.log.info({ resource, ...peer, ...fields }, 'state');
    }
  }
}

function statesOf(status: DeviceStatus): Seen {
  const { role, diskState, suspended, suspendedReason, currentUuid } = status;
  const own = { role, diskState, suspended, suspendedReason, currentUuid };
  const seen = new Map<string, States>([['', own]]);
  for (const peer of status.peers) {
    const { connectionState, reason, replicationState } = peer;
    const connection = { connectionState, reason, replicationState };
    seen.set(peer.name, { ...connection, role: peer.role, diskState: peer.diskState });
  }
  return seen;
}
