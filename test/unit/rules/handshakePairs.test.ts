// The handshake over every pair of a few thousand identities: what must hold for all of them.

import { PROTOCOLS } from '../../../src/model/states';
import type { Protocol } from '../../../src/model/states';
import { decide, sameVerdict, swapVerdict } from '../../../src/rules/handshake';
import type { Verdict } from '../../../src/rules/handshake';
import type { Identity } from '../../../src/rules/identity';
import { canBeSource } from '../../../src/rules/identity';
import { GENERATIONS, product } from '../../support/identities';

const { none, created, a, b } = GENERATIONS;

const roles = [{ role: 'Primary' }, { role: 'Secondary' }] as const;
const copies = [
  { consistent: true, diskState: 'UpToDate' },
  { consistent: false, diskState: 'Inconsistent' },
] as const;

/** Each family varies some of the facts through every combination. */
const families: [string, Identity[]][] = [
  [
    'generations',
    product(
      [created, a, b].map((currentUuid) => ({ currentUuid })),
      [none, created, a, b].map((bitmapUuid) => ({ bitmapUuid })),
      [[], [a], [b], [a, b]].map((historyUuids) => ({ historyUuids })),
      [[], [a]].map((otherBitmapUuids) => ({ otherBitmapUuids })),
      copies,
      roles,
    ),
  ],
  [
    'requests',
    product(
      [a, b].map((currentUuid) => ({ currentUuid })),
      [none, a, b].map((bitmapUuid) => ({ bitmapUuid })),
      [[], [a]].map((historyUuids) => ({ historyUuids })),
      copies,
      roles,
      [false, true].map((discardMyData) => ({ discardMyData })),
      [false, true].map((takeMeBack) => ({ takeMeBack })),
      [4n, 5n].map((metGeneration) => ({ metGeneration })),
    ),
  ],
  [
    'equal generations',
    product(
      copies,
      roles,
      [0n, 4096n].map((outOfSyncBytes) => ({ outOfSyncBytes })),
      [false, true].map((fullSync) => ({ fullSync })),
      [
        {},
        { crashed: true },
        { crashed: true, crashedMachine: true },
        { crashed: true, crashedPrimary: true },
      ],
      [false, true].map((outdated) => ({ outdated })),
      [false, true].map((knowsPrimary) => ({ knowsPrimary })),
      [{}, { writeSequence: 101n }],
    ),
  ],
];

const nodeCounts = [2, 3];
const table = families.flatMap(([name, family]) =>
  nodeCounts.map((nodes) => [name, nodes, family] as const),
);

/** What is wrong with the verdicts of two nodes that meet; undefined: nothing. */
function complaint(own: Identity, peer: Identity, nodes: number): string | undefined {
  for (const protocol of PROTOCOLS) {
    const wrong = complain(own, peer, nodes, protocol);
    if (wrong !== undefined) return `protocol ${protocol}: ${wrong}`;
  }
  return undefined;
}

function complain(
  own: Identity,
  peer: Identity,
  nodes: number,
  protocol: Protocol,
): string | undefined {
  const verdict = decide(own, peer, nodes, protocol);
  const seenThere = decide(peer, own, nodes, protocol);
  if (!sameVerdict(verdict, swapVerdict(seenThere))) return 'not antisymmetric';
  const second = own.role === 'Primary' ? peer.knowsPrimary : own.knowsPrimary;
  const met = own.role === 'Primary' || peer.role === 'Primary';
  const joins = ['inSync', 'served', 'resync'].includes(verdict.kind);
  if (nodes > 2 && met && second && joins) return 'a copy has two Primaries';
  const bits = own.outOfSyncBytes + peer.outOfSyncBytes;
  if (verdict.kind === 'inSync') return complainInSync(own, peer, bits);
  if (verdict.kind === 'resync') return complainResync(own, peer, verdict, nodes);
  return undefined;
}

function complainInSync(own: Identity, peer: Identity, bits: bigint): string | undefined {
  if (bits > 0n || own.fullSync || peer.fullSync) return 'bits are forgotten';
  if (own.currentUuid !== peer.currentUuid) return 'generations differ';
  if (!canBeSource(own) || !canBeSource(peer)) return 'an unfinished copy is in sync';
  return own.role === 'Primary' && peer.role === 'Primary' ? 'two Primaries' : undefined;
}

function complainResync(
  own: Identity,
  peer: Identity,
  verdict: Extract<Verdict, { kind: 'resync' }>,
  nodes: number,
): string | undefined {
  const [target, source] = verdict.direction === 'target' ? [own, peer] : [peer, own];
  if (!canBeSource(source)) return 'the source is unfinished';
  if (target.role === 'Primary' && source.role === 'Primary') return 'two Primaries';
  if (target.role === 'Primary' && canBeSource(target) && target.currentUuid !== source.currentUuid)
    return 'data changes under a running application';
  if (verdict.markAll && verdict.by !== 'full') return 'all is marked, but not full';
  const secondaries = target.role !== 'Primary' && source.role !== 'Primary';
  const equal = target.currentUuid === source.currentUuid;
  const trusted = nodes <= 2 || !secondaries || equal || verdict.markAll;
  return trusted ? undefined : 'a bitmap between Secondaries is trusted';
}

test.each(table)('%s, %d nodes: every pair', (_name, nodes, family) => {
  const complaints = new Map<string, unknown>();
  for (const own of family) {
    for (const other of family) {
      const peer = { ...other, rank: 1 };
      const found = complaint(own, peer, nodes);
      if (found !== undefined) complaints.set(found, { own, peer });
    }
  }
  expect([...complaints]).toEqual([]);
});
