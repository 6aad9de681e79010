/**
 * attach and detach: the backing disk of a resource that is up goes and comes back.
 *
 * A Primary without a disk is served by its peers, so its last good copy is not detached; attached
 * again, it is resynced from one of them before its own copy is used.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import { CLAIM_TIMEOUT_MS, DEVICE_TIMEOUT_MS } from '../model/limits';
import type { NodeName } from '../model/states';
import { diskStateOf } from '../rules/diskState';
import type { Core } from './core';
import { withDeadline } from './deadline';
import type { Farewell } from './farewell';
import type { PeerConnection } from './peerConnection';

export class DiskCommands {
  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
    private readonly farewell: Farewell,
  ) {}

  /** Nothing happens without a disk. `force`: also the last good copy of a Primary. */
  async detach(force: boolean): Promise<void> {
    const { core } = this;
    if (!core.hasDisk) return;
    if (!force) this.checkServed('its clients would be without data; use --force to do it anyway');
    await this.farewell.bid([...this.connections.values()]);
    const { diskState } = core.gate.snapshot();
    core.gate.propose({ diskState: 'Detaching' });
    try {
      await this.within(DEVICE_TIMEOUT_MS, core.device.detachDisk(force));
    } catch (error) {
      // With operations still in the kernel the copy is detached all the same.
      const refused = toMirrorError(error).code === 'DeviceInUse';
      core.gate.propose({ diskState: refused ? diskState : 'Diskless' });
      throw error;
    }
    core.gate.propose({ diskState: 'Diskless' });
  }

  /** Nothing happens with a disk. */
  async attach(): Promise<void> {
    const { core } = this;
    if (core.hasDisk) return;
    this.checkServed('its clients have seen data that this copy may lack; demote it first');
    core.gate.propose({ diskState: 'Attaching' });
    try {
      await this.within(CLAIM_TIMEOUT_MS + DEVICE_TIMEOUT_MS, core.device.attachDisk());
    } catch (error) {
      core.gate.propose({ diskState: 'Diskless' });
      throw error;
    }
    this.checkAttached();
    const primary = core.gate.snapshot().role === 'Primary';
    core.gate.propose({
      diskState: primary ? 'Negotiating' : diskStateOf(core.device.metadata()),
    });
    for (const connection of this.connections.values()) {
      // What it had when it was given up may be on another disk.
      connection.forgetRequests();
      connection.renegotiate('the backing disk is attached');
      connection.resume();
    }
  }

  /** In protocols A and B a peer may first have to answer, or to be lost. */
  private async within(limitMs: number, work: Promise<unknown>): Promise<void> {
    const { environment, timeoutMs } = this.core;
    await withDeadline(environment.clock, timeoutMs + limitMs, 'the backing disk', work);
  }

  /** It may have failed before anybody could be told that it is there. */
  private checkAttached(): void {
    const { core } = this;
    if (core.gate.snapshot().diskState === 'Attaching') return;
    const message = `the backing disk of ${core.name} failed at once`;
    const help = "the kernel's log has its errors; run attach again when it works";
    throw new MirrorError('NotAttached', `${message}: ${help}`);
  }

  private checkServed(consequence: string): void {
    const { role, peers } = this.core.gate.snapshot();
    const served = [...peers.values()].some(
      (peer) => peer.replicationState === 'Established' && peer.diskState === 'UpToDate',
    );
    if (role !== 'Primary' || served) return;
    const message = `${this.core.name} is Primary and no UpToDate peer serves it: ${consequence}`;
    throw new MirrorError('NotUpToDate', message);
  }
}
