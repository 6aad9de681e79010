/**
 * The first control frame of a connection, in both directions: who speaks to whom about which
 * resource, and everything the handshake rules need to know of the sender's copy.
 *
 * The service reads the hello of an accepted connection with parseHello() to find the resource.
 */
import { MAX_FEATURES, MAX_HISTORY_UUIDS, MAX_PEERS } from '../model/limits';
import type { ErrorCode } from '../model/errors';
import {
  CONFLICT_POLICIES,
  NO_POLICIES,
  ONE_POLICIES,
  TWO_POLICIES,
  ZERO_POLICIES,
} from '../model/policies';
import { DISK_STATES, formatUuid, PROTOCOLS, ROLES } from '../model/states';
import type { Protocol } from '../model/states';
import type { Identity } from '../rules/identity';
import { FieldError, Fields } from './validator';

export const WIRE_VERSION = { min: 1, max: 1 } as const;
/** The identity tells what both need to settle split brain by policies. */
const SPLIT_BRAIN_FEATURE = 'split-brain';
/** The identity tells whether a crash was the machine's. */
const CRASHES_FEATURE = 'crashes';
/** The identity tells whether a former Primary is about to go on. */
const RESUMING_FEATURE = 'resuming';
/** A resync may compare digests: frames ResyncSum and ResyncWanted. */
export const CHECKSUMS_FEATURE = 'checksums';
/** Who leaves a Primary tells what its copy is from then on: frame `farewell`. */
export const FAREWELL_FEATURE = 'farewell';
/** Names of what this program can do beyond version 1; what only one end names is not used. */
export const FEATURES: readonly string[] = [
  SPLIT_BRAIN_FEATURE,
  CRASHES_FEATURE,
  RESUMING_FEATURE,
  CHECKSUMS_FEATURE,
  FAREWELL_FEATURE,
];

export interface Hello {
  readonly versionMin: number;
  readonly versionMax: number;
  readonly features: readonly string[];
  readonly resource: string;
  readonly node: string;
  /** Whom the sender believes to speak to. */
  readonly peer: string;
  /** 16 hex digits, new for each start of the sender's daemon. */
  readonly bootNonce: string;
  /** How many connections the sender has opened to this peer since then, this one included. */
  readonly attempt: number;
  readonly protocol: Protocol;
  /** Nodes in the sender's configuration. */
  readonly nodes: number;
  readonly identity: Identity;
}

export type ParsedHello =
  | { readonly kind: 'hello'; readonly hello: Hello }
  /** `text`: the frame to refuse the connection with. */
  | { readonly kind: 'refused'; readonly text: string; readonly message: string };

export function parseHello(text: string): ParsedHello {
  try {
    return { kind: 'hello', hello: readHello(Fields.parse(text)) };
  } catch (error) {
    if (!(error instanceof FieldError)) throw error;
    const message = `this is no hello of a blkmirror node: ${error.message}`;
    return { kind: 'refused', text: formatRefusal('InvalidArgs', message), message };
  }
}

/** The frame that tells the other end why its connection is not wanted. */
export function formatRefusal(code: ErrorCode, message: string): string {
  return JSON.stringify({ type: 'refused', code, message });
}

export function formatHello(hello: Hello): string {
  return JSON.stringify({
    type: 'hello',
    ...hello,
    identity: formatIdentity(hello.identity),
  });
}

export function readHello(fields: Fields): Hello {
  fields.oneOf('type', ['hello']);
  const features = fields.texts('features', MAX_FEATURES);
  return {
    versionMin: fields.count('versionMin'),
    versionMax: fields.count('versionMax'),
    features,
    resource: fields.text('resource'),
    node: fields.text('node'),
    peer: fields.text('peer'),
    bootNonce: formatUuid(fields.hex('bootNonce')),
    attempt: fields.count('attempt'),
    protocol: fields.oneOf('protocol', PROTOCOLS),
    nodes: fields.count('nodes', MAX_PEERS + 1),
    identity: readIdentity(fields.fields('identity'), features),
  };
}

/** 64-bit values travel as 16 hex digits. */
function formatIdentity(identity: Identity): Record<string, unknown> {
  const texts: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(identity)) {
    if (typeof value === 'bigint') texts[name] = formatUuid(value);
    else if (Array.isArray(value)) texts[name] = (value as bigint[]).map(formatUuid);
    else texts[name] = value;
  }
  return texts;
}

function readIdentity(fields: Fields, features: readonly string[]): Identity {
  const { promotedApart, partedMs, promotedMs, policies } = readSplitBrainFacts(
    fields,
    features.includes(SPLIT_BRAIN_FEATURE),
  );
  return {
    promotedApart,
    partedMs,
    promotedMs,
    policies,
    currentUuid: fields.hex('currentUuid'),
    bitmapUuid: fields.hex('bitmapUuid'),
    otherBitmapUuids: fields.hexes('otherBitmapUuids', MAX_PEERS),
    historyUuids: fields.hexes('historyUuids', MAX_HISTORY_UUIDS),
    consistent: fields.flag('consistent'),
    wasUpToDate: fields.flag('wasUpToDate'),
    outdated: fields.flag('outdated'),
    crashed: fields.flag('crashed'),
    crashedPrimary: fields.flag('crashedPrimary'),
    crashedMachine: features.includes(CRASHES_FEATURE) ? fields.flag('crashedMachine') : undefined,
    role: fields.oneOf('role', ROLES),
    diskState: fields.oneOf('diskState', DISK_STATES),
    exposedUuid: fields.hex('exposedUuid'),
    generation: fields.hex('generation'),
    metGeneration: fields.hex('metGeneration'),
    rememberedGeneration: fields.hex('rememberedGeneration'),
    writeSequence: fields.hex('writeSequence'),
    sizeBytes: fields.hex('sizeBytes'),
    blockBytes: fields.count('blockBytes'),
    outOfSyncBytes: fields.hex('outOfSyncBytes'),
    fullSync: fields.flag('fullSync'),
    rank: fields.count('rank', 1),
    discardMyData: fields.flag('discardMyData'),
    takeMeBack: fields.flag('takeMeBack'),
    resuming: features.includes(RESUMING_FEATURE) ? fields.flag('resuming') : undefined,
    knowsPrimary: fields.flag('knowsPrimary'),
    resyncsFromOther: fields.flag('resyncsFromOther'),
  };
}

type SplitBrainFacts = Pick<Identity, 'promotedApart' | 'partedMs' | 'promotedMs' | 'policies'>;

/** A node that knows no policies drops nothing by itself. */
function readSplitBrainFacts(fields: Fields, known: boolean): SplitBrainFacts {
  if (!known) return { promotedApart: false, partedMs: 0, promotedMs: 0, policies: NO_POLICIES };
  const policies = fields.fields('policies');
  return {
    promotedApart: fields.flag('promotedApart'),
    partedMs: fields.count('partedMs'),
    promotedMs: fields.count('promotedMs'),
    policies: {
      zero: policies.oneOf('zero', ZERO_POLICIES),
      one: policies.oneOf('one', ONE_POLICIES),
      two: policies.oneOf('two', TWO_POLICIES),
      conflict: policies.oneOf('conflict', CONFLICT_POLICIES),
      always: policies.flag('always'),
    },
  };
}
