/**
 * The control frames that follow the hello, as JSON: `ready` ends the handshake, `state` tells
 * of changes, `prepare` to `abort` are the two phases of a promotion, `farewell` comes last.
 *
 * An unknown or damaged frame throws FieldError: the connection is closed as ProtocolError.
 */
import { ERROR_CODES } from '../model/errors';
import type { ErrorCode } from '../model/errors';
import { DISK_STATES, formatUuid, ROLES } from '../model/states';
import type { DiskState, Role, Uuid } from '../model/states';
import type { Verdict } from '../rules/handshake';
import type { Hello } from './hello';
import { readHello } from './hello';
import { FieldError, Fields } from './validator';

export interface StateFacts {
  readonly role: Role;
  readonly diskState: DiskState;
  readonly currentUuid: Uuid;
  readonly knowsPrimary: boolean;
  readonly resyncsFromOther: boolean;
}

export type Frame =
  | { readonly type: 'hello'; readonly hello: Hello }
  | { readonly type: 'refused'; readonly code: ErrorCode; readonly message: string }
  /** The sender's side is durable for this verdict; `currentUuid` is the sender's. */
  | { readonly type: 'ready'; readonly verdict: Verdict; readonly currentUuid: Uuid }
  | { readonly type: 'state'; readonly facts: StateFacts }
  /** May the sender be promoted? */
  | { readonly type: 'prepare'; readonly id: number }
  | { readonly type: 'consent'; readonly id: number }
  | {
      readonly type: 'refuse';
      readonly id: number;
      readonly code: ErrorCode;
      readonly message: string;
    }
  /** The sender is Primary. */
  | { readonly type: 'commit'; readonly id: number }
  | { readonly type: 'abort'; readonly id: number }
  /** The sender leaves, and cannot be promoted: its copy is Outdated, durably. */
  | { readonly type: 'farewell' };

export type SentFrame = Exclude<Frame, { readonly type: 'hello' | 'refused' }>;

export function formatFrame(frame: SentFrame): string {
  if (frame.type === 'ready') {
    return JSON.stringify({ ...frame, currentUuid: formatUuid(frame.currentUuid) });
  }
  if (frame.type === 'state') {
    const currentUuid = formatUuid(frame.facts.currentUuid);
    return JSON.stringify({ type: 'state', ...frame.facts, currentUuid });
  }
  return JSON.stringify(frame);
}

export function parseFrame(text: string): Frame {
  const fields = Fields.parse(text);
  const type = fields.text('type');
  switch (type) {
    case 'hello':
      return { type, hello: readHello(fields) };
    case 'refused':
      return { type, code: readCode(fields), message: fields.text('message') };
    case 'ready':
      return { type, verdict: readVerdict(fields), currentUuid: fields.hex('currentUuid') };
    case 'state':
      return { type, facts: readFacts(fields) };
    case 'refuse':
      return { type, id: readId(fields), code: readCode(fields), message: fields.text('message') };
    case 'prepare':
    case 'consent':
    case 'commit':
    case 'abort':
      return { type, id: readId(fields) };
    case 'farewell':
      return { type };
    default:
      throw new FieldError(`unknown frame type ${JSON.stringify(type.slice(0, 40))}`);
  }
}

function readId(fields: Fields): number {
  return fields.count('id');
}

function readCode(fields: Fields): ErrorCode {
  return fields.oneOf('code', Object.keys(ERROR_CODES) as ErrorCode[]);
}

function readFacts(fields: Fields): StateFacts {
  return {
    role: fields.oneOf('role', ROLES),
    diskState: fields.oneOf('diskState', DISK_STATES),
    currentUuid: fields.hex('currentUuid'),
    knowsPrimary: fields.flag('knowsPrimary'),
    resyncsFromOther: fields.flag('resyncsFromOther'),
  };
}

const WAITS = [
  'noDisk',
  'lostWrites',
  'noSource',
  'newerIsInconsistent',
  'sourceOutdated',
  'waitsForPrimary',
  'otherPrimary',
  'waitsForOtherResync',
  'clientsSawOther',
] as const;
const REFUSALS = ['sizesDiffer', 'blockSizesDiffer'] as const;
const KINDS = [
  'inSync',
  'served',
  'resync',
  'bothJustCreated',
  'waits',
  'splitBrain',
  'yields',
  'reverted',
  'unrelated',
  'refused',
] as const;

function readVerdict(frame: Fields): Verdict {
  const fields = frame.fields('verdict');
  const kind = fields.oneOf('kind', KINDS);
  switch (kind) {
    case 'resync':
      return {
        kind,
        direction: fields.oneOf('direction', ['source', 'target']),
        by: fields.oneOf('by', ['bitmap', 'full']),
        markAll: fields.flag('markAll'),
        exchangeBitmaps: true,
      };
    case 'waits':
      return { kind, why: fields.oneOf('why', WAITS) };
    case 'refused':
      return { kind, why: fields.oneOf('why', REFUSALS) };
    case 'yields':
      return {
        kind,
        who: fields.oneOf('who', ['own', 'peer']),
        force: fields.flag('force'),
        handler: fields.oneOf('handler', ['pri-lost', 'pri-lost-after-sb']),
      };
    case 'reverted':
      return { kind, who: fields.oneOf('who', ['own', 'peer', 'both']) };
    case 'served':
      return { kind, who: fields.oneOf('who', ['own', 'peer']) };
    default:
      return { kind };
  }
}
