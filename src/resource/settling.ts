/**
 * Waits until connections are there, or cannot be for now: a promotion asks whom it can reach,
 * and an order about a refused copy asks its peer once more.
 */
import { SETTLE_MS } from '../model/limits';
import type { Core } from './core';
import type { PeerConnection } from './peerConnection';

/** Within the time that a peer has to answer. */
export async function settleAll(core: Core, connections: readonly PeerConnection[]): Promise<void> {
  const { clock } = core.environment;
  await new Promise<void>((resolve) => {
    const timer = clock.after(Math.min(SETTLE_MS, core.timeoutMs), resolve);
    void Promise.all(connections.map((connection) => connection.settle())).then(() => {
      timer.cancel();
      resolve();
    });
  });
}

/** No connection that could be made now is made before the work has ended. */
export async function whileNoneConnects<T>(
  connections: readonly PeerConnection[],
  reason: string,
  work: () => Promise<T>,
): Promise<T> {
  const settling = connections.filter((one) => one.mayConnect);
  for (const one of settling) one.hold(reason);
  try {
    return await work();
  } finally {
    for (const one of settling) one.resume();
  }
}
