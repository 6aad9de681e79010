/**
 * What a verdict asks of the data plane. Pure.
 *
 * After a crash whole extents count as out of sync, though little in them differs: there the
 * target compares digests first and copies only what differs. A copy in full is not compared.
 */
import type { EstablishPlan } from '../plane/establishPlan';
import type { Verdict } from '../rules/handshake';
import { mayLack } from '../rules/identity';
import type { Identity } from '../rules/identity';
import { CHECKSUMS_FEATURE } from './hello';
import type { Hello } from './hello';

/** undefined: the connection is not established. */
export function planOf(verdict: Verdict, told: Hello, heard: Hello): EstablishPlan | undefined {
  if (!['inSync', 'served', 'resync'].includes(verdict.kind)) return undefined;
  return {
    resync: verdict.kind === 'resync' ? verdict.direction : 'none',
    exchangeBitmaps: verdict.kind === 'resync',
    compare: verdict.kind === 'resync' && verdict.by === 'bitmap' && worthComparing(told, heard),
    peerDiskless: verdict.kind === 'served' && verdict.who === 'peer',
    peerCurrentUuid: heard.identity.currentUuid,
    peerHistoryUuids: heard.identity.historyUuids,
    peerWriteSequence: heard.identity.writeSequence,
    ...crashOf(heard.identity),
  };
}

type Crash = Pick<EstablishPlan, 'peerCrashed' | 'peerCrashedPrimary' | 'peerCrashedMachine'>;

/** Where its node does not tell how it ended, the machine may have. */
function crashOf(copy: Identity): Crash {
  return {
    peerCrashed: copy.crashed,
    peerCrashedPrimary: copy.crashed && copy.crashedPrimary,
    peerCrashedMachine: mayLack(copy, 'C'),
  };
}

function worthComparing(told: Hello, heard: Hello): boolean {
  const has = (test: (copy: Identity) => boolean): boolean =>
    test(told.identity) || test(heard.identity);
  const both = [told, heard].every((hello) => hello.features.includes(CHECKSUMS_FEATURE));
  return both && has((copy) => copy.crashed) && !has((copy) => copy.fullSync);
}
