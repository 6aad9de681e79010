// Control frames: what is written is read back, everything else is refused field by field.

import { formatFrame, parseFrame } from '../../../src/resource/frames';
import type { SentFrame } from '../../../src/resource/frames';
import { formatHello, formatRefusal, parseHello } from '../../../src/resource/hello';
import type { Hello } from '../../../src/resource/hello';
import { identity } from '../../support/identities';

const hello: Hello = {
  versionMin: 1,
  versionMax: 1,
  features: ['something-new', 'crashes', 'resuming'],
  resource: 'r0',
  node: 'alpha',
  peer: 'beta.example',
  bootNonce: '00112233445566ff',
  attempt: 3,
  protocol: 'C',
  nodes: 2,
  identity: identity({
    currentUuid: 0xfedcba9876543210n,
    historyUuids: [1n << 63n, 9n],
    otherBitmapUuids: [7n],
    outOfSyncBytes: 1n << 40n,
  }),
};

test('a hello survives the wire', () => {
  expect(parseHello(formatHello(hello))).toEqual({ kind: 'hello', hello });
});

test('64-bit values are 16 hex digits', () => {
  const { identity: sent } = JSON.parse(formatHello(hello)) as {
    identity: Record<string, unknown>;
  };
  expect(sent).toMatchObject({
    currentUuid: 'fedcba9876543210',
    historyUuids: ['8000000000000000', '0000000000000009'],
    generation: '0000000000000005',
    blockBytes: 512,
  });
});

test('unknown fields are ignored', () => {
  const more = { ...(JSON.parse(formatHello(hello)) as object), moonPhase: { full: true } };
  expect(parseHello(JSON.stringify(more))).toEqual({ kind: 'hello', hello });
});

type Change = (frame: Record<string, unknown>, copy: Record<string, unknown>) => void;
const wrong: [string, Change][] = [
  ['type is not one of hello', (frame) => (frame['type'] = 'state')],
  ['node is not a text', (frame) => (frame['node'] = 5)],
  ['resource is too long', (frame) => (frame['resource'] = 'r'.repeat(2000))],
  ['attempt is not a number from 0 to', (frame) => (frame['attempt'] = -1)],
  ['nodes is not a number from 0 to 32', (frame) => (frame['nodes'] = 33)],
  ['bootNonce is not 16 hex digits', (frame) => (frame['bootNonce'] = 'FF')],
  ['features is not a list', (frame) => (frame['features'] = 'all')],
  ['features holds something else than text', (frame) => (frame['features'] = [1])],
  ['identity is not an object', (frame) => (frame['identity'] = [])],
  ['currentUuid is not 16 hex digits', (_frame, copy) => (copy['currentUuid'] = 17)],
  ['consistent is neither true nor false', (_frame, copy) => delete copy['consistent']],
  ['role is not one of Primary, Secondary, Unknown', (_frame, copy) => (copy['role'] = 'Master')],
  ['historyUuids has more than 32 entries', (_frame, copy) => (copy['historyUuids'] = many())],
];

function many(): string[] {
  return Array.from({ length: 33 }, () => '0000000000000001');
}

test.each(wrong)('%s', (message, change) => {
  const frame = JSON.parse(formatHello(hello)) as Record<string, unknown>;
  change(frame, frame['identity'] as Record<string, unknown>);
  const parsed = parseHello(JSON.stringify(frame));
  expect(parsed.kind === 'refused' ? parsed.message : '').toContain(message);
});

const frames: SentFrame[] = [
  { type: 'ready', verdict: { kind: 'inSync' }, currentUuid: 1n },
  {
    type: 'ready',
    verdict: {
      kind: 'resync',
      direction: 'target',
      by: 'full',
      markAll: true,
      exchangeBitmaps: true,
    },
    currentUuid: 2n,
  },
  { type: 'ready', verdict: { kind: 'waits', why: 'waitsForPrimary' }, currentUuid: 3n },
  { type: 'ready', verdict: { kind: 'reverted', who: 'both' }, currentUuid: 3n },
  { type: 'ready', verdict: { kind: 'refused', why: 'sizesDiffer' }, currentUuid: 3n },
  {
    type: 'state',
    facts: {
      role: 'Primary',
      diskState: 'UpToDate',
      currentUuid: 1n << 63n,
      knowsPrimary: false,
      resyncsFromOther: true,
    },
  },
  { type: 'prepare', id: 1 },
  { type: 'consent', id: 1 },
  { type: 'refuse', id: 1, code: 'PeerIsPrimary', message: 'no' },
  { type: 'commit', id: 2 },
  { type: 'abort', id: 3 },
];

test.each(frames)('$type survives the wire', (frame) => {
  expect(parseFrame(formatFrame(frame))).toEqual(frame);
});

test('a refusal survives the wire', () => {
  expect(parseFrame(formatRefusal('SplitBrain', 'split brain'))).toEqual({
    type: 'refused',
    code: 'SplitBrain',
    message: 'split brain',
  });
});
