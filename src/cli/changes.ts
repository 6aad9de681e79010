/**
 * What changes on the bus as events for people and programs: keeps the state as last told and
 * turns each signal into the events that differ from it. Pure but for what it keeps.
 */
import { DEVICE_INTERFACE, PEER_INTERFACE } from '../dbus/paths';
import type { Signal } from './bus';
import { readInterfaces, readProperties } from './service';
import { deviceValues, peerValues, tryOwner } from './statusMap';
import type { JsonValues, ManagedObjects, ObjectOwner, Properties } from './statusMap';

/**
 * `state`: how it is when `events` begins; `up`, `down`: a resource; `peer-added`,
 * `peer-removed`: a peer of it; `changed`: only the values that are new.
 */
export type EventKind = 'state' | 'up' | 'down' | 'peer-added' | 'peer-removed' | 'changed';

export interface MirrorEvent {
  readonly kind: EventKind;
  readonly owner: ObjectOwner;
  readonly values: JsonValues;
  /** What the values were before; empty where there was nothing. */
  readonly before: JsonValues;
}

export class ChangeTracker {
  private readonly told = new Map<string, { readonly owner: ObjectOwner; values: JsonValues }>();
  private readonly properties = new Map<string, Properties>();

  /** The state to begin with, devices before their peers, by name. */
  begin(objects: ManagedObjects): readonly MirrorEvent[] {
    const paths = [...objects.keys()].sort();
    return paths.flatMap((path) => this.added(path, objects.get(path) ?? new Map(), true));
  }

  next(signal: Signal): readonly MirrorEvent[] {
    const [first, second] = signal.body;
    switch (signal.member) {
      case 'InterfacesAdded':
        return this.added(String(first), readInterfaces(second), false);
      case 'InterfacesRemoved':
        return this.removed(String(first));
      case 'PropertiesChanged':
        return this.changed(signal.path, String(first), readProperties(second));
      default:
        return [];
    }
  }

  private added(
    path: string,
    interfaces: ReadonlyMap<string, Properties>,
    initial: boolean,
  ): readonly MirrorEvent[] {
    const owner = tryOwner(path);
    const properties = interfaces.get(interfaceOf(owner));
    if (owner === undefined || properties === undefined) return [];
    const isNew = !this.told.has(path);
    const values = valuesOf(owner, properties);
    const before = this.told.get(path)?.values ?? {};
    this.properties.set(path, properties);
    this.told.set(path, { owner, values });
    if (!isNew) return changedEvents(owner, before, values);
    const kind = initial ? 'state' : owner.peer === undefined ? 'up' : 'peer-added';
    return [{ kind, owner, values, before }];
  }

  private removed(path: string): readonly MirrorEvent[] {
    const known = this.told.get(path);
    if (known === undefined) return [];
    this.told.delete(path);
    this.properties.delete(path);
    const kind = known.owner.peer === undefined ? 'down' : 'peer-removed';
    return [{ kind, owner: known.owner, values: {}, before: {} }];
  }

  private changed(path: string, name: string, changes: Properties): readonly MirrorEvent[] {
    const known = this.told.get(path);
    if (known === undefined || name !== interfaceOf(known.owner)) return [];
    const properties = { ...this.properties.get(path), ...changes };
    const values = valuesOf(known.owner, properties);
    const before = known.values;
    this.properties.set(path, properties);
    known.values = values;
    return changedEvents(known.owner, before, values);
  }
}

function interfaceOf(owner: ObjectOwner | undefined): string {
  return owner?.peer === undefined ? DEVICE_INTERFACE : PEER_INTERFACE;
}

function valuesOf(owner: ObjectOwner, properties: Properties): JsonValues {
  return owner.peer === undefined ? deviceValues(properties) : peerValues(properties);
}

function changedEvents(
  owner: ObjectOwner,
  before: JsonValues,
  after: JsonValues,
): readonly MirrorEvent[] {
  const changed = Object.entries(after).filter(([name, value]) => before[name] !== value);
  if (changed.length === 0) return [];
  const old = changed.map(([name]) => [name, before[name] ?? null] as const);
  const values = Object.fromEntries(changed);
  return [{ kind: 'changed', owner, values, before: Object.fromEntries(old) }];
}
