/**
 * Reads interface XML (the contract in dbus/): the text of the interface, comments included, as
 * Introspect serves it, and the signatures that the dispatcher checks calls against.
 *
 * Only trusted files of this tree are read: whatever is wrong in them throws.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseString } from 'xml2js';

export interface MethodSpec {
  readonly inSignature: string;
  readonly outSignature: string;
}

export interface PropertySpec {
  readonly signature: string;
  /** `true`: PropertiesChanged carries the new value; `const`: it never changes. */
  readonly emits: 'true' | 'const';
}

export interface InterfaceSpec {
  readonly name: string;
  readonly methods: ReadonlyMap<string, MethodSpec>;
  readonly properties: ReadonlyMap<string, PropertySpec>;
  /** Signature by name. */
  readonly signals: ReadonlyMap<string, string>;
  /** From the comment before `<interface` to `</interface>`, verbatim. */
  readonly xml: string;
}

/** Where the interface files are, seen from src/dbus and from dist/dbus; or as installed. */
const SOURCE_FOLDER = join(__dirname, '../../dbus');
const INSTALLED_FOLDER = join(__dirname, '../../share/dbus-1/interfaces');
export const INTERFACE_FOLDER = existsSync(SOURCE_FOLDER) ? SOURCE_FOLDER : INSTALLED_FOLDER;

export function readInterface(name: string, folder: string = INTERFACE_FOLDER): InterfaceSpec {
  const specs = parseInterfaces(readFileSync(join(folder, `${name}.xml`), 'utf8'));
  const spec = specs.find((candidate) => candidate.name === name);
  if (spec === undefined) throw new Error(`${name}.xml does not declare ${name}`);
  return spec;
}

/** All interfaces of one document. */
export function parseInterfaces(document: string): InterfaceSpec[] {
  const interfaces = elements(parseDocument(document), 'interface');
  const texts = interfaceTexts(document);
  return interfaces.map((element, index) => interfaceSpec(element, texts[index] ?? ''));
}

interface Element {
  readonly $?: Readonly<Record<string, string>>;
  readonly [child: string]: unknown;
}

function parseDocument(document: string): Element {
  let root: Element = {};
  parseString(document, { async: false, explicitArray: true }, (error, parsed) => {
    if (error !== null) throw error;
    root = (parsed as { readonly node: Element }).node;
  });
  return root;
}

/** The text between `<node>` and `</node>`, cut after each `</interface>`. */
function interfaceTexts(document: string): string[] {
  const start = document.indexOf('<node>') + '<node>'.length;
  const body = document.slice(start, document.lastIndexOf('</node>'));
  const texts = body.split(/(?<=<\/interface>)/);
  return texts.map((text) => text.replace(/^\n+/, '').trimEnd());
}

function interfaceSpec(element: Element, xml: string): InterfaceSpec {
  return {
    name: attribute(element, 'name'),
    methods: byName(elements(element, 'method'), methodSpec),
    properties: byName(elements(element, 'property'), propertySpec),
    signals: byName(elements(element, 'signal'), (signal) => signatureOf(elements(signal, 'arg'))),
    xml,
  };
}

function methodSpec(method: Element): MethodSpec {
  const args = elements(method, 'arg');
  const isOut = (arg: Element): boolean => arg.$?.direction === 'out';
  return {
    inSignature: signatureOf(args.filter((arg) => !isOut(arg))),
    outSignature: signatureOf(args.filter(isOut)),
  };
}

function propertySpec(property: Element): PropertySpec {
  if (attribute(property, 'access') !== 'read') {
    throw new Error(`property ${attribute(property, 'name')}: only read access is supported`);
  }
  const constant = elements(property, 'annotation').some(
    (annotation) =>
      annotation.$?.name === 'org.freedesktop.DBus.Property.EmitsChangedSignal' &&
      annotation.$.value === 'const',
  );
  return { signature: attribute(property, 'type'), emits: constant ? 'const' : 'true' };
}

function signatureOf(args: readonly Element[]): string {
  return args.map((arg) => attribute(arg, 'type')).join('');
}

function elements(parent: Element, tag: string): readonly Element[] {
  return (parent[tag] ?? []) as readonly Element[];
}

function attribute(element: Element, name: string): string {
  const value = element.$?.[name];
  if (value === undefined) throw new Error(`an element of the interface XML lacks ${name}`);
  return value;
}

function byName<T>(list: readonly Element[], make: (element: Element) => T): Map<string, T> {
  return new Map(list.map((element) => [attribute(element, 'name'), make(element)]));
}
