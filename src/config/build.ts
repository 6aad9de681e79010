/**
 * Makes one ResourceConfig of the sections of its file and the defaults, and checks what only
 * the whole can tell: missing options, number of nodes, addresses used twice. Pure.
 */
import { present } from '../model/assert';
import { FENCING_POLICIES } from '../model/fencing';
import type { FencingPolicy } from '../model/fencing';
import { HANDLER_NAMES } from '../model/handlers';
import type { HandlerName } from '../model/handlers';
import { CONFLICT_POLICIES, ONE_POLICIES, TWO_POLICIES, ZERO_POLICIES } from '../model/policies';
import type { ConfiguredPolicies } from '../model/policies';
import type { NodeName, Protocol, ResourceName } from '../model/states';
import { canonicalAddress, parseAddress } from './address';
import { MAX_NODES, MIN_NODES } from './limits';
import { lineKey, rememberLines } from './lines';
import type { ProblemList } from './problems';
import type { Option, Section, Sections } from './sections';
import { listOf, tryDiscardedNode } from './schema';
import type { SectionKind } from './schema';
import { IO_ERROR_POLICIES } from './types';
import type { NodeConfig, ResourceConfig } from './types';
import { tryRate } from './units';

/** undefined when something is missing; `problems` then says what. */
export function buildResource(
  name: ResourceName,
  defaults: Sections,
  own: Sections,
  problems: ProblemList,
): ResourceConfig | undefined {
  const nodeSections = own.filter((section) => section.kind === 'node');
  checkNodeCount(nodeSections, problems);
  const nodes = nodeSections.flatMap((section) => buildNode(section, problems) ?? []);
  checkNodes(nodeSections, nodes, problems);
  const zero = findOption(own, 'net', 'after-sb-0pri');
  checkDiscardedNode(zero, nodes, problems);
  if (problems.count > 0) return undefined;
  const option = (kind: SectionKind, key: string, otherwise: string): string =>
    valueOf(own, kind, key) ?? valueOf(defaults, kind, key) ?? otherwise;
  const config: ResourceConfig = {
    name,
    file: problems.file,
    device: option('resource', 'device', 'auto'),
    protocol: option('resource', 'protocol', 'C') as Protocol,
    timeoutMs: Number(option('net', 'timeout-ms', '6000')),
    sndbufBytes: Number(option('net', 'sndbuf-bytes', '0')),
    rcvbufBytes: Number(option('net', 'rcvbuf-bytes', '0')),
    splitBrain: policiesOf((key) => option('net', key, 'disconnect')),
    alExtents: Number(option('disk', 'al-extents', '0')),
    onIoError: present(
      IO_ERROR_POLICIES.find((known) => known === option('disk', 'on-io-error', 'detach')),
      'the policy was checked',
    ),
    diskTimeoutMs: Number(option('disk', 'disk-timeout-ms', '0')),
    cMaxKibPerSecond: present(tryRate(option('disk', 'c-max-rate', '0')), 'the rate was checked'),
    cMinKibPerSecond: present(tryRate(option('disk', 'c-min-rate', '250')), 'the rate was checked'),
    waitForPeersMs: Number(option('startup', 'wfc-timeout', '30')) * 1000,
    fencing: fencingOf(option('net', 'fencing', 'dont-care')),
    handlers: handlersOf(option),
    handlerTimeoutMs: Number(option('handlers', 'timeout-ms', '120000')),
    nodes: nodes.sort((a, b) => (a.name < b.name ? -1 : 1)),
  };
  checkFencing(config, defaults, own, problems);
  if (problems.count > 0) return undefined;
  rememberLines(config, collectLines(own));
  return config;
}

/** The values were checked one by one (schema.ts). */
function policiesOf(option: (key: string) => string): ConfiguredPolicies {
  const zero = option('after-sb-0pri');
  const discardNode = tryDiscardedNode(zero);
  return {
    zero: ZERO_POLICIES.find((policy) => policy === zero) ?? 'disconnect',
    one: ONE_POLICIES.find((policy) => policy === option('after-sb-1pri')) ?? 'disconnect',
    two: TWO_POLICIES.find((policy) => policy === option('after-sb-2pri')) ?? 'disconnect',
    conflict: CONFLICT_POLICIES.find((policy) => policy === option('rr-conflict')) ?? 'disconnect',
    always: option('always-asbp') === 'yes',
    ...(discardNode === undefined ? {} : { discardNode: discardNode as NodeName }),
  };
}

function checkDiscardedNode(
  zero: Option | undefined,
  nodes: readonly NodeConfig[],
  problems: ProblemList,
): void {
  const name = zero?.valid === true ? tryDiscardedNode(zero.value) : undefined;
  if (zero === undefined || name === undefined) return;
  if (nodes.some((node) => node.name === name)) return;
  const names = listOf(nodes.map((node) => node.name));
  problems.add(zero.line, `after-sb-0pri: there is no node ${name}; there are ${names}`);
}

type Lookup = (kind: SectionKind, key: string, otherwise: string) => string;

function fencingOf(value: string): FencingPolicy {
  return present(
    FENCING_POLICIES.find((known) => known === value),
    'the policy was checked',
  );
}

function handlersOf(option: Lookup): Partial<Record<HandlerName, string>> {
  const found = HANDLER_NAMES.map((name) => [name, option('handlers', name, '')] as const);
  return Object.fromEntries(found.filter(([, command]) => command !== ''));
}

/** Without a handler nothing could ever be fenced: I/O would stop for good. */
function checkFencing(
  config: ResourceConfig,
  defaults: Sections,
  own: Sections,
  problems: ProblemList,
): void {
  if (config.fencing === 'dont-care' || config.handlers['fence-peer'] !== undefined) return;
  const net = own.find((section) => section.kind === 'net');
  const line = net?.options.get('fencing')?.line ?? 1;
  const where = net?.options.has('fencing') === true || defaults.length === 0;
  const whose = where ? '' : ' (from blkmirror.conf)';
  const what = `fencing: ${config.fencing}${whose} needs a handler`;
  problems.add(line, `${what}; add fence-peer = COMMAND in [handlers]`);
}

function valueOf(sections: Sections, kind: SectionKind, key: string): string | undefined {
  return findOption(sections, kind, key)?.value;
}

function findOption(sections: Sections, kind: SectionKind, key: string): Option | undefined {
  return sections.find((section) => section.kind === kind)?.options.get(key);
}

function checkNodeCount(sections: Sections, problems: ProblemList): void {
  const last = sections.at(-1)?.line ?? 1;
  if (sections.length < MIN_NODES) {
    const found = sections.length === 0 ? 'no [node "NAME"] section' : 'only one node';
    problems.add(last, `${found}; a mirror needs two, write a [node "NAME"] section for each`);
  }
  const surplus = sections[MAX_NODES];
  if (surplus !== undefined) {
    problems.add(surplus.line, `more than ${MAX_NODES} nodes; remove ${surplus.name}`);
  }
}

function buildNode(section: Section, problems: ProblemList): NodeConfig | undefined {
  const address = section.options.get('address');
  const disk = section.options.get('disk');
  if (address === undefined) {
    const example = '192.0.2.1:7788';
    problems.add(section.line, `${section.name} has no address; add address = ${example}`);
  }
  if (disk === undefined) {
    problems.add(section.line, `${section.name} has no disk; add disk = /dev/vg0/r0`);
  }
  const parsed = address?.valid === true ? parseAddress(address.value) : undefined;
  if (address === undefined || disk === undefined || parsed?.ok !== true) return undefined;
  return {
    name: section.label as NodeName,
    address: address.value,
    host: parsed.address.host,
    port: parsed.address.port,
    disk: disk.value,
    metaDisk: section.options.get('meta-disk')?.value ?? 'internal',
  };
}

function checkNodes(sections: Sections, nodes: readonly NodeConfig[], problems: ProblemList): void {
  const users = new Map<string, NodeConfig>();
  for (const node of nodes) {
    const section = sections.find((other) => other.label === node.name);
    const lineFor = (key: string): number => section?.options.get(key)?.line ?? 1;
    const address = canonicalAddress(node);
    const other = users.get(address);
    if (other !== undefined && other.name !== node.name) {
      problems.add(
        lineFor('address'),
        `node ${other.name} has this address too; give each node its own host or port`,
      );
    }
    users.set(address, other ?? node);
    if (node.metaDisk === node.disk && node.disk !== '') {
      problems.add(lineFor('meta-disk'), 'this is the disk itself; write meta-disk = internal');
    }
  }
}

function collectLines(sections: Sections): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  for (const section of sections) {
    lines.set(lineKey(section.name, ''), section.line);
    for (const [key, option] of section.options) lines.set(lineKey(section.name, key), option.line);
  }
  return lines;
}
