/**
 * The objects on the bus: their interfaces, properties and children, and the signals that tell
 * of their coming, changing and going.
 *
 * A PropertiesChanged carries only what differs from what was told before. Signals go to the
 * sink at once; whoever calls decides how changes are batched (once each loop turn).
 */
import { isDeepStrictEqual } from 'node:util';
import { Variant } from 'dbus-next';
import type { InterfaceSpec } from './interfaceXml';
import { OBJECT_MANAGER, PROPERTIES, STANDARD_INTERFACES } from './standardInterfaces';

/** The unique bus name of who calls. */
export interface Caller {
  readonly sender: string;
}

export type MethodHandler = (
  args: readonly unknown[],
  caller: Caller,
) => Promise<readonly unknown[]>;

/** Values by property name, in the types that the XML gives. */
export type PropertyValues = Readonly<Record<string, unknown>>;

export interface ExportedInterface {
  readonly spec: InterfaceSpec;
  /** One for each method of the XML. */
  readonly methods: Readonly<Record<string, MethodHandler>>;
  /** One value for each property of the XML, as of now. */
  readonly properties: () => PropertyValues;
}

export interface BusSignal {
  readonly path: string;
  readonly interfaceName: string;
  readonly member: string;
  readonly signature: string;
  readonly body: readonly unknown[];
}

export type SignalSink = (signal: BusSignal) => void;
export type Variants = Record<string, Variant>;

interface Entry {
  readonly interfaces: readonly ExportedInterface[];
  /** What the bus was told last, by interface. */
  readonly told: Map<string, PropertyValues>;
}

export class ObjectTree {
  private readonly entries = new Map<string, Entry>();

  constructor(
    /** Where org.freedesktop.DBus.ObjectManager is. */
    readonly managerPath: string,
    private readonly sink: SignalSink,
  ) {}

  add(path: string, interfaces: readonly ExportedInterface[]): void {
    checkComplete(interfaces);
    const told = new Map(interfaces.map((each) => [each.spec.name, each.properties()]));
    this.entries.set(path, { interfaces, told });
    if (!this.isManaged(path)) return;
    const body = [path, interfaceVariants(interfaces)];
    this.signal(this.managerPath, OBJECT_MANAGER, 'InterfacesAdded', body);
  }

  remove(path: string): void {
    const entry = this.entries.get(path);
    if (entry === undefined) return;
    this.entries.delete(path);
    if (!this.isManaged(path)) return;
    const names = entry.interfaces.map((each) => each.spec.name);
    this.signal(this.managerPath, OBJECT_MANAGER, 'InterfacesRemoved', [path, names]);
  }

  /** Tells the bus which properties of the object have changed. */
  refresh(path: string): void {
    const entry = this.entries.get(path);
    if (entry === undefined) return;
    for (const each of entry.interfaces) {
      const now = each.properties();
      const changed = changedVariants(each.spec, entry.told.get(each.spec.name) ?? {}, now);
      if (Object.keys(changed).length === 0) continue;
      entry.told.set(each.spec.name, now);
      this.signal(path, PROPERTIES, 'PropertiesChanged', [each.spec.name, changed, []]);
    }
  }

  /** A signal that the XML of the object's interface declares. */
  emit(path: string, spec: InterfaceSpec, member: string, body: readonly unknown[]): void {
    const signature = spec.signals.get(member);
    if (signature === undefined) throw new Error(`${spec.name} declares no signal ${member}`);
    this.sink({ path, interfaceName: spec.name, member, signature, body });
  }

  interfaces(path: string): readonly ExportedInterface[] | undefined {
    return this.entries.get(path)?.interfaces;
  }

  has(path: string): boolean {
    return this.entries.has(path);
  }

  /** All paths of objects that begin with `prefix`. */
  pathsBelow(prefix: string): string[] {
    const start = prefix === '/' ? '/' : `${prefix}/`;
    return [...this.entries.keys()].filter((path) => path.startsWith(start));
  }

  /** Names of the nodes directly below: of objects, and of nodes on the way to objects. */
  childNames(path: string): string[] {
    const start = path === '/' ? 1 : path.length + 1;
    const names = this.pathsBelow(path).map((below) => below.slice(start).split('/', 1)[0] ?? '');
    return [...new Set(names)].sort();
  }

  /** What GetManagedObjects answers. */
  managedObjects(): Record<string, Record<string, Variants>> {
    const paths = this.pathsBelow(this.managerPath);
    return Object.fromEntries(
      paths.map((path) => [path, interfaceVariants(this.interfaces(path) ?? [])]),
    );
  }

  private isManaged(path: string): boolean {
    return path.startsWith(`${this.managerPath}/`);
  }

  private signal(path: string, interfaceName: string, member: string, body: unknown[]): void {
    const signature = STANDARD_INTERFACES.get(interfaceName)?.signals.get(member) ?? '';
    this.sink({ path, interfaceName, member, signature, body });
  }
}

export function propertyVariants(exported: ExportedInterface): Variants {
  return changedVariants(exported.spec, {}, exported.properties());
}

function interfaceVariants(interfaces: readonly ExportedInterface[]): Record<string, Variants> {
  return Object.fromEntries(interfaces.map((each) => [each.spec.name, propertyVariants(each)]));
}

function changedVariants(
  spec: InterfaceSpec,
  before: PropertyValues,
  now: PropertyValues,
): Variants {
  const changed: Variants = {};
  for (const [name, property] of spec.properties) {
    if (name in before && isDeepStrictEqual(before[name], now[name])) continue;
    changed[name] = new Variant(property.signature, now[name]);
  }
  return changed;
}

/** Programming errors: an interface that does not do what its XML promises. */
function checkComplete(interfaces: readonly ExportedInterface[]): void {
  for (const { spec, methods, properties } of interfaces) {
    const values = properties();
    const missing = [
      ...[...spec.methods.keys()].filter((name) => methods[name] === undefined),
      ...[...spec.properties.keys()].filter((name) => values[name] === undefined),
    ];
    if (missing.length > 0) throw new Error(`${spec.name} lacks ${missing.join(', ')}`);
  }
}
