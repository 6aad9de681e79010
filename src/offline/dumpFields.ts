/**
 * The fields of a metadata dump: one table for writing and reading them. A field of the
 * superblock is added in one line here and in one line of native/bind/image_values.cc.
 */
import type { PeerImage, SuperblockNumbers } from '../plane/metadataTools';

/** `hex`: 16 digits; `flags`: words, or `none`; `place`: internal or external. */
export type FieldKind = 'hex' | 'decimal' | 'flags' | 'peerFlags' | 'place';

export interface Field<Member> {
  readonly key: string;
  readonly member: Member;
  readonly kind: FieldKind;
}

export const SUPERBLOCK_FIELDS: readonly Field<keyof SuperblockNumbers>[] = [
  { key: 'metadata-id', member: 'metadataId', kind: 'hex' },
  { key: 'revision', member: 'revision', kind: 'decimal' },
  { key: 'generation', member: 'generation', kind: 'hex' },
  { key: 'boot-id', member: 'bootId', kind: 'hex' },
  { key: 'flags', member: 'flags', kind: 'flags' },
  { key: 'current-uuid', member: 'currentUuid', kind: 'hex' },
  { key: 'write-sequence', member: 'writeSequence', kind: 'hex' },
  { key: 'promoted-ms', member: 'promotedMs', kind: 'decimal' },
  { key: 'device-bytes', member: 'deviceBytes', kind: 'decimal' },
  { key: 'block-bytes', member: 'blockBytes', kind: 'decimal' },
  { key: 'max-peers', member: 'maxPeers', kind: 'decimal' },
  { key: 'meta-disk', member: 'internal', kind: 'place' },
  { key: 'meta-disk-bytes', member: 'metadataDiskBytes', kind: 'decimal' },
  { key: 'superblocks-offset', member: 'superblocksOffset', kind: 'decimal' },
  { key: 'superblocks-bytes', member: 'superblocksBytes', kind: 'decimal' },
  { key: 'activity-log-offset', member: 'activityLogOffset', kind: 'decimal' },
  { key: 'activity-log-bytes', member: 'activityLogBytes', kind: 'decimal' },
  { key: 'bitmap-states-offset', member: 'bitmapStatesOffset', kind: 'decimal' },
  { key: 'bitmap-states-bytes', member: 'bitmapStatesBytes', kind: 'decimal' },
  { key: 'bitmap-offset', member: 'bitmapOffset', kind: 'decimal' },
  { key: 'bitmap-bytes', member: 'bitmapBytes', kind: 'decimal' },
];

export const PEER_FIELDS: readonly Field<Exclude<keyof PeerImage, 'slot' | 'name'>>[] = [
  { key: 'bitmap-uuid', member: 'bitmapUuid', kind: 'hex' },
  { key: 'generation', member: 'generation', kind: 'hex' },
  { key: 'met-generation', member: 'metGeneration', kind: 'hex' },
  { key: 'parted-ms', member: 'partedMs', kind: 'decimal' },
  { key: 'flags', member: 'flags', kind: 'peerFlags' },
];

/** In the order of the bits, from 1 << 0. */
const FLAGS = [
  'consistent',
  'was-up-to-date',
  'primary-indicator',
  'in-use',
  'crashed',
  'crashed-primary',
  'outdated',
  'crashed-machine',
] as const;
const PEER_FLAGS = ['outdated', 'full-sync', 'promoted-apart'] as const;

/** Bits that restore-md sets where the dump may not cover what was written since. */
export const CRASHED =
  (1n << BigInt(FLAGS.indexOf('crashed'))) | (1n << BigInt(FLAGS.indexOf('crashed-machine')));
export const PEER_FULL_SYNC = 1n << BigInt(PEER_FLAGS.indexOf('full-sync'));

export function formatField(kind: FieldKind, value: bigint): string {
  switch (kind) {
    case 'hex':
      return value.toString(16).padStart(16, '0');
    case 'decimal':
      return value.toString();
    case 'place':
      return value === 1n ? 'internal' : 'external';
    case 'flags':
      return formatFlags(FLAGS, value);
    case 'peerFlags':
      return formatFlags(PEER_FLAGS, value);
  }
}

export type Parsed = { readonly value: bigint } | { readonly problem: string };

export function parseField(kind: FieldKind, text: string): Parsed {
  switch (kind) {
    case 'hex':
      if (/^[0-9a-f]{16}$/.test(text)) return { value: BigInt(`0x${text}`) };
      return { problem: 'give 16 hex digits' };
    case 'decimal':
      if (/^[0-9]{1,18}$/.test(text)) return { value: BigInt(text) };
      return { problem: 'give a decimal number' };
    case 'place':
      if (text === 'internal' || text === 'external')
        return { value: text === 'internal' ? 1n : 0n };
      return { problem: 'give internal or external' };
    case 'flags':
      return parseFlags(FLAGS, text);
    case 'peerFlags':
      return parseFlags(PEER_FLAGS, text);
  }
}

function formatFlags(names: readonly string[], value: bigint): string {
  const set = names.filter((_, bit) => (value >> BigInt(bit)) % 2n === 1n);
  return set.length === 0 ? 'none' : set.join(' ');
}

function parseFlags(names: readonly string[], text: string): Parsed {
  let value = 0n;
  for (const word of text === 'none' ? [] : text.split(' ')) {
    const bit = names.indexOf(word);
    if (bit < 0) return { problem: `give some of ${names.join(' ')}, or none` };
    value |= 1n << BigInt(bit);
  }
  return { value };
}
