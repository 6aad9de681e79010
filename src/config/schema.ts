/**
 * All sections and options there are, what their values may be, and what is wrong with others.
 *
 * An option that is not in these tables is refused, never ignored. Pure; called by load.ts.
 */
import { didYouMean, nearestName } from './nearest';
import {
  MAX_AL_EXTENTS,
  MAX_HANDLER_TIMEOUT_MS,
  MAX_PATH_BYTES,
  MAX_RESYNC_KIB,
  MAX_SOCKET_BUFFER_BYTES,
  MAX_TIMEOUT_MS,
  MAX_WAIT_FOR_PEERS_SECONDS,
  MIN_RESYNC_CEILING_KIB,
  MIN_SOCKET_BUFFER_BYTES,
  MIN_TIMEOUT_MS,
} from './limits';
import { parseAddress } from './address';
import { tryRate } from './units';
import { FENCING_POLICIES } from '../model/fencing';
import { HANDLER_NAMES } from '../model/handlers';
import { IO_ERROR_POLICIES } from './types';
import { CONFLICT_POLICIES, ONE_POLICIES, TWO_POLICIES, ZERO_POLICIES } from '../model/policies';

export const SECTION_KINDS = ['resource', 'net', 'disk', 'startup', 'handlers', 'node'] as const;
export type SectionKind = (typeof SECTION_KINDS)[number];

/** What is wrong with a value and what would be right; undefined when it is right. */
export type ValueCheck = (value: string) => string | undefined;

const NODE_OPTIONS: Readonly<Record<string, ValueCheck>> = {
  address: (value) => {
    const parsed = parseAddress(value);
    return parsed.ok ? undefined : parsed.problem;
  },
  disk: (value) => pathProblem(value, 'write the path of a block device or file, from /'),
  'meta-disk': (value) =>
    value === 'internal'
      ? undefined
      : pathProblem(value, 'write internal, or the path of a block device or file, from /'),
};

const OPTIONS: Readonly<Record<SectionKind, Readonly<Record<string, ValueCheck>>>> = {
  resource: { device: deviceProblem, protocol: protocolProblem },
  net: {
    'timeout-ms': integerCheck('milliseconds', MIN_TIMEOUT_MS, MAX_TIMEOUT_MS),
    fencing: choiceCheck(FENCING_POLICIES),
    'sndbuf-bytes': socketBufferCheck(),
    'rcvbuf-bytes': socketBufferCheck(),
    'after-sb-0pri': (value) =>
      tryDiscardedNode(value) === undefined
        ? choiceProblem(value, [...ZERO_POLICIES, 'discard-node-NAME'])
        : undefined,
    'after-sb-1pri': (value) => choiceProblem(value, ONE_POLICIES),
    'after-sb-2pri': (value) => choiceProblem(value, TWO_POLICIES),
    'rr-conflict': (value) => choiceProblem(value, CONFLICT_POLICIES),
    'always-asbp': (value) => choiceProblem(value, ['no', 'yes']),
  },
  disk: {
    'al-extents': integerCheck('extents, 0 for no limit', 0, MAX_AL_EXTENTS),
    'on-io-error': ioErrorProblem,
    'disk-timeout-ms': integerCheck('milliseconds, 0 for never', 0, MAX_TIMEOUT_MS),
    'c-max-rate': rateCheck(MIN_RESYNC_CEILING_KIB, '0 for no ceiling'),
    'c-min-rate': rateCheck(1, '0 to leave no room for applications'),
  },
  startup: { 'wfc-timeout': integerCheck('seconds', 1, MAX_WAIT_FOR_PEERS_SECONDS) },
  handlers: {
    ...Object.fromEntries(HANDLER_NAMES.map((name) => [name, commandProblem])),
    'timeout-ms': integerCheck('milliseconds', MIN_TIMEOUT_MS, MAX_HANDLER_TIMEOUT_MS),
  },
  node: NODE_OPTIONS,
};

/** Options of DRBD that people bring along; what blkmirror has instead is found by nearness. */
const DRBD_OPTIONS = new Set(
  `after-resync-target al-updates allow-two-primaries auto-promote auto-promote-timeout
  bitmap c-delay-target c-fill-target c-plan-ahead congestion-extents
  congestion-fill connect-int cpu-mask cram-hmac-alg
  csums-after-crash-only csums-alg data-integrity-alg degr-wfc-timeout disable-write-same
  discard-zeroes-if-aligned disk-barrier disk-drain disk-flushes disk-timeout fence-peer fencing
  handlers ko-count max-bio-bvecs max-buffers max-epoch-size max-io-depth
  md-flushes node-id on-congestion on-io-error on-no-data-accessible on-no-quorum options
  outdated-wfc-timeout peer-ack-delay peer-ack-window peer-max-bio-size ping-int ping-timeout
  pri-lost pri-lost-after-sb quorum quorum-minimum-redundancy rdma-ctrl-rcvbuf-size
  read-balancing resync-after rs-discard-granularity set-defaults-to
  shared-secret socket-check-timeout split-brain tcp-cork timeout-action tls transport
  twopc-retry-timeout twopc-timeout use-rle verify-alg volume`.split(/\s+/),
);

/** Options of DRBD for which there is another one, in the words of a message. */
const INSTEAD: ReadonlyMap<string, string> = new Map([
  ['resync-rate', 'c-max-rate, the ceiling of a resync'],
]);

export function tryKind(kind: string): SectionKind | undefined {
  return SECTION_KINDS.find((known) => known === kind);
}

/** All options of a section, for whoever documents them. */
export function optionNames(kind: SectionKind): readonly string[] {
  return Object.keys(OPTIONS[kind]);
}

/** Why there is no section of that kind, and what would be right. */
export function unknownSection(kind: string): string {
  if (DRBD_OPTIONS.has(kind)) return `section [${kind}] is not supported yet; remove it`;
  const known = SECTION_KINDS.map((name) => (name === 'node' ? '[node "NAME"]' : `[${name}]`));
  const near = didYouMean(kind, SECTION_KINDS).replace(/(\w+)\?$/, '[$1]?');
  return `unknown section [${kind}]${near || `; there are ${listOf(known)}`}`;
}

/** undefined when the option is known, else why not and what would be right. */
export function optionProblem(kind: SectionKind, name: string): string | undefined {
  const own = Object.keys(OPTIONS[kind]);
  if (own.includes(name)) return undefined;
  const home = SECTION_KINDS.find((other) => Object.hasOwn(OPTIONS[other], name));
  if (home !== undefined) {
    const section = home === 'node' ? '[node "NAME"]' : `[${home}]`;
    return `${name} does not belong in [${kind}]; put it in ${section}`;
  }
  const instead = INSTEAD.get(name);
  if (instead !== undefined) return `option ${name} is not supported; write ${instead}`;
  if (DRBD_OPTIONS.has(name)) {
    return `option ${name} is not supported yet; remove the line`;
  }
  const near = nearestName(name, own);
  if (near !== undefined) return `unknown option ${name} in [${kind}]; did you mean ${near}?`;
  return `unknown option ${name} in [${kind}]; there ${own.length === 1 ? 'is' : 'are'} \
${listOf(own)}`;
}

/** The check of a known option. */
export function valueProblem(kind: SectionKind, name: string, value: string): string | undefined {
  const problem = OPTIONS[kind][name]?.(value);
  return problem === undefined ? undefined : `${name}: ${problem}`;
}

function choiceCheck(choices: readonly string[]): ValueCheck {
  return (value) =>
    choices.includes(value)
      ? undefined
      : `${JSON.stringify(value)} is not right; use ${choices.join(', ')}`;
}

function commandProblem(value: string): string | undefined {
  if (Buffer.byteLength(value) > MAX_PATH_BYTES) return 'the command is too long; write a script';
  if (/\p{Cc}/u.test(value)) return 'the command holds a control character; write a script';
  return undefined;
}

/** As far as the kernel numbers its devices. */
const NBD_DEVICE = /^\/dev\/nbd(?:0|[1-9][0-9]{0,3})$/;

function deviceProblem(value: string): string | undefined {
  if (value === 'auto' || value === 'none' || NBD_DEVICE.test(value)) return undefined;
  return `${JSON.stringify(value)} is no kernel device; use auto, none or one such as /dev/nbd0`;
}

function protocolProblem(value: string): string | undefined {
  if (value === 'A' || value === 'B' || value === 'C') return undefined;
  return `there is no protocol ${JSON.stringify(value)}; use A, B or C`;
}

function ioErrorProblem(value: string): string | undefined {
  if (IO_ERROR_POLICIES.some((known) => known === value)) return undefined;
  return `${JSON.stringify(value)} is not supported; use ${IO_ERROR_POLICIES.join(' or ')}`;
}

/** NAME of discard-node-NAME. */
export function tryDiscardedNode(value: string): string | undefined {
  return /^discard-node-(.+)$/.exec(value)?.[1];
}

function choiceProblem(value: string, choices: readonly string[]): string | undefined {
  if (choices.includes(value)) return undefined;
  const near = nearestName(value, choices);
  const right = near === undefined ? `use ${listOf(choices)}` : `did you mean ${near}?`;
  return `there is no policy ${JSON.stringify(value)}; ${right}`;
}

function integerCheck(what: string, least: number, most: number): ValueCheck {
  return (value) =>
    tryInteger(value, least, most) === undefined
      ? `${JSON.stringify(value)} is not right; write a whole number from ${least} to ${most} \
(${what})`
      : undefined;
}

function rateCheck(least: number, zero: string): ValueCheck {
  return (value) => {
    const kib = tryRate(value);
    if (kib === 0 || (kib !== undefined && kib >= least && kib <= MAX_RESYNC_KIB)) return undefined;
    return `${JSON.stringify(value)} is not right; write KiB a second from ${least} to \
${MAX_RESYNC_KIB}, also with K, M or G such as 100M, or ${zero}`;
  };
}

function socketBufferCheck(): ValueCheck {
  const range = integerCheck('bytes', MIN_SOCKET_BUFFER_BYTES, MAX_SOCKET_BUFFER_BYTES);
  return (value) => {
    if (value === '0') return undefined;
    return range(value)?.replace(/\)$/, "), or 0 for the kernel's own tuning");
  };
}

function tryInteger(value: string, least: number, most: number): number | undefined {
  if (!/^[0-9]{1,15}$/.test(value)) return undefined;
  const number = Number(value);
  return number >= least && number <= most ? number : undefined;
}

function pathProblem(value: string, right: string): string | undefined {
  if (!value.startsWith('/')) return `${JSON.stringify(value)} is no absolute path; ${right}`;
  if (value.endsWith('/')) return `${JSON.stringify(value)} names a directory; ${right}`;
  if (Buffer.byteLength(value) > MAX_PATH_BYTES) return `the path is too long; ${right}`;
  // Quoted values may hold escapes such as \u0000 or \n.
  if (/\p{Cc}/u.test(value)) return `the path holds a control character; ${right}`;
  return undefined;
}

/** `a, b and c`. */
export function listOf(names: readonly string[]): string {
  if (names.length < 2) return names.join('');
  return `${names.slice(0, -1).join(', ')} and ${names.at(-1) ?? ''}`;
}
