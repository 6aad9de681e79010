/**
 * What the exit status of the fence-peer handler says about the peer, as DRBD reads it. Pure.
 *
 *   3  the peer's copy is Inconsistent     4  it is Outdated (now or before)
 *   5  the peer is down or unreachable     6  the peer is Primary
 *   7  the peer was stonithed              else: the handler has failed
 *
 * A peer that is `fenced` cannot be promoted with its old data: I/O may go on without it. What its
 * copy then is, the status shows; the metadata remembers only that it is fenced, as DRBD's do.
 */
import type { FencingPolicy } from '../model/fencing';
import type { HandlerEnd } from '../model/handlers';
import type { DiskState, OwnDiskState } from '../model/states';

/** What the copy of a fenced peer is. */
export type FencedCopy = Extract<DiskState, 'Inconsistent' | 'Outdated'>;

export type FenceAnswer =
  | { readonly kind: 'fenced'; readonly copy: FencedCopy; readonly text: string }
  | { readonly kind: 'peerIsPrimary' }
  | { readonly kind: 'notFenced'; readonly text: string };

export function judgeFencing(
  end: HandlerEnd,
  policy: FencingPolicy,
  ownDisk: DiskState,
): FenceAnswer {
  if (end.kind === 'failed') return notFenced(`the fence-peer handler ${end.message}`);
  switch (end.status) {
    case 3:
      return fenced('its copy is Inconsistent', 'Inconsistent');
    case 4:
      return fenced('its copy is Outdated');
    case 5:
      return judgeUnreachable(ownDisk);
    case 6:
      return { kind: 'peerIsPrimary' };
    case 7:
      return judgeStonith(policy);
    default:
      return notFenced(`the fence-peer handler exited with ${end.status}, which says nothing`);
  }
}

/** Assumed dead only by who holds the newest data: nobody else could take over from here. */
function judgeUnreachable(ownDisk: DiskState): FenceAnswer {
  if (ownDisk === 'UpToDate') return fenced('it is unreachable, assumed dead');
  return notFenced(`it is unreachable, and the local copy is ${ownDisk}, not UpToDate`);
}

function judgeStonith(policy: FencingPolicy): FenceAnswer {
  const unexpected = policy === 'resource-and-stonith' ? '' : `, although fencing = ${policy}`;
  return fenced(`it was stonithed${unexpected}`);
}

function fenced(text: string, copy: FencedCopy = 'Outdated'): FenceAnswer {
  return { kind: 'fenced', copy, text };
}

function notFenced(text: string): FenceAnswer {
  return { kind: 'notFenced', text };
}

/**
 * The disk state of a copy whose metadata says UpToDate while a peer may have gone on without
 * it: with fencing it is only Consistent until a peer is met or fenced (DRBD 9).
 */
export function withoutPeers(
  diskState: OwnDiskState,
  policy: FencingPolicy,
  unfenced: number,
): OwnDiskState {
  const unsure = policy !== 'dont-care' && unfenced > 0;
  return diskState === 'UpToDate' && unsure ? 'Consistent' : diskState;
}
