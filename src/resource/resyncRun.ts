/**
 * Follows one resync until both copies are identical or it ended otherwise. It only watches:
 * cancel() ends the watching, the copying goes on.
 */
import { MirrorError } from '../model/errors';
import type { NodeName } from '../model/states';
import { isResync } from '../rules/transitions';
import type { PeerState } from '../rules/transitions';
import type { Core } from './core';
import type { ResyncRun } from './device';
import { doneFraction } from './progress';
import type { Progress } from './progress';

export function finishedRun(peer: NodeName): ResyncRun {
  return {
    peer,
    progress: () => ({ fraction: 1, bytesPerSecond: 0 }),
    finished: Promise.resolve(),
    cancel: () => undefined,
  };
}

export function watchResync(core: Core, peer: NodeName, progress: Progress): ResyncRun {
  let cancel: () => void = () => undefined;
  const finished = new Promise<void>((resolve, reject) => {
    cancel = watch(core, peer, (error) => {
      if (error === undefined) resolve();
      else reject(error);
    });
  });
  finished.catch(() => undefined); // whoever waits for it sees the rejection itself
  return {
    peer,
    progress: () => ({
      fraction: doneFraction(core.peerStatistics(peer)) ?? 0,
      bytesPerSecond: progress.bytesPerSecond(),
    }),
    finished,
    cancel: () => cancel(),
  };
}

/** Calls `settle` once; returns what cancels. */
function watch(core: Core, peer: NodeName, settle: (error?: MirrorError) => void): () => void {
  const { gate, environment, timeoutMs } = core;
  let started = isResync(gate.peer(peer).replicationState);
  let done = false;
  const finish = (error?: MirrorError): void => {
    if (done) return;
    done = true;
    timer.cancel();
    unsubscribe();
    settle(error);
  };
  const timer = environment.clock.after(2 * timeoutMs, () => {
    if (!started) finish(notStarted(core, peer));
  });
  const unsubscribe = gate.subscribe(() => {
    const state = gate.peer(peer);
    const outcome = judge(core, peer, state, started);
    started ||= isResync(state.replicationState);
    if (outcome === 'finished') finish();
    else if (outcome !== undefined) finish(outcome);
  });
  return () => finish(new MirrorError('Failed', 'cancelled: the copying itself goes on'));
}

function judge(
  core: Core,
  peer: NodeName,
  state: PeerState,
  started: boolean,
): 'finished' | MirrorError | undefined {
  if (core.closing) return new MirrorError('Failed', `${core.name} went down`);
  if (state.replicationState === 'Established') return 'finished';
  if (state.connectionState === 'StandAlone') return ended(core, peer, state);
  if (state.connectionState === 'Connected' && state.replicationState === 'Off') {
    return ended(core, peer, state);
  }
  return started && state.connectionState !== 'Connected' ? ended(core, peer, state) : undefined;
}

function ended(core: Core, peer: NodeName, state: PeerState): MirrorError {
  const why = state.reason === '' ? 'the connection ended' : state.reason;
  const message = `the resync of ${core.name} with ${peer} did not finish: ${why}`;
  return new MirrorError('NotConnected', message);
}

function notStarted(core: Core, peer: NodeName): MirrorError {
  const { reason } = core.gate.peer(peer);
  const why = reason === '' ? `${peer} does not answer` : reason;
  const message = `the resync of ${core.name} with ${peer} has not begun: ${why}`;
  return new MirrorError('TimedOut', message);
}
