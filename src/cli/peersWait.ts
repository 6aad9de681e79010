/**
 * `up --wait`: stays until every peer is connected, at most as long as the configuration's
 * wfc-timeout says. A peer that is missing is no failure: the resource is up without it.
 */
import type { ResourceName } from '../model/states';
import type { DeviceStatus, PeerStatus } from '../model/status';
import { PROGRESS_INTERVAL_MS } from './limits';
import type { Output } from './output';
import type { Service } from './service';
import { Waiter } from './waiting';

/** false when Ctrl-C ended it. @throws NotConnected (the service ended) */
export async function waitForPeers(
  service: Service,
  resource: ResourceName,
  waitMs: number,
  output: Output,
): Promise<boolean> {
  const waiter = new Waiter();
  const forget = service.bus.onSignal(() => waiter.wakeUp());
  const deadline = Date.now() + waitMs;
  try {
    await service.subscribe();
    for (;;) {
      const device = await service.tryDevice(resource);
      const leftMs = deadline - Date.now();
      if (device === undefined || !isWaiting(device) || leftMs <= 0) {
        tell(resource, device, waitMs, output);
        return true;
      }
      await waiter.wait(Math.min(PROGRESS_INTERVAL_MS, leftMs));
      if (waiter.isInterrupted) return false;
    }
  } finally {
    forget();
    waiter.close();
  }
}

/** A peer may still come by itself; one that is StandAlone will not. */
function isWaiting(device: DeviceStatus): boolean {
  return device.peers.some((peer) => !isThere(peer) && peer.connectionState !== 'StandAlone');
}

/** The handshake is done: who is older is known, and a resync runs where one is needed. */
function isThere(peer: PeerStatus): boolean {
  return peer.connectionState === 'Connected' && peer.replicationState !== 'Off';
}

function tell(
  resource: ResourceName,
  device: DeviceStatus | undefined,
  waitMs: number,
  output: Output,
): void {
  for (const peer of device?.peers ?? []) {
    if (isThere(peer)) output.print(`${resource} is connected to ${peer.name}`);
    else if (peer.connectionState === 'StandAlone') output.complain(alone(resource, peer));
    else output.complain(`${resource}: ${peer.name} is not connected after ${waitMs / 1000} s`);
  }
}

function alone(resource: ResourceName, peer: PeerStatus): string {
  const why = peer.reason === '' ? '' : ` (${peer.reason})`;
  return `${resource} does not connect to ${peer.name}${why}`;
}
