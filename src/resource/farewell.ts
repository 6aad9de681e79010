/**
 * A Secondary that leaves its Primary on purpose, where lost peers are fenced: it declares its copy
 * Outdated and says so, since nobody has to be fenced who cannot be promoted with old data.
 *
 * Used by disconnect, down and the end of the service; a crash says nothing, and is fenced.
 */
import { toMirrorError } from '../model/errors';
import { DEVICE_TIMEOUT_MS, FAREWELL_MS } from '../model/limits';
import type { NodeName } from '../model/states';
import type { Core } from './core';
import { withDeadline } from './deadline';
import type { PeerConnection } from './peerConnection';

export class Farewell {
  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
  ) {}

  /** Before `leaving` are disconnected. Never fails: who is told nothing fences. */
  async bid(leaving: readonly PeerConnection[]): Promise<void> {
    const told = leaving.filter((one) => this.followsPrimary(one));
    if (told.length === 0) return;
    const others = [...this.connections.values()].filter((one) => one.mayConnect);
    for (const one of others) one.hold('the copy is declared Outdated');
    try {
      await this.outdate();
      if (this.tell(told)) await this.untilHeard();
    } catch (error) {
      this.core.report({ type: 'failed', error: toMirrorError(error) });
    } finally {
      for (const one of others) one.resume();
    }
  }

  private followsPrimary(connection: PeerConnection): boolean {
    const { config, gate, hasDisk } = this.core;
    if (config.fencing === 'dont-care' || !hasDisk || !connection.takesFarewell) return false;
    const { role, replicationState } = gate.peer(connection.peer);
    const secondary = gate.snapshot().role === 'Secondary';
    // A resync may end later, and with it what was said of the copy.
    return secondary && role === 'Primary' && replicationState === 'Established';
  }

  private async outdate(): Promise<void> {
    const { core } = this;
    if (core.gate.snapshot().diskState === 'Inconsistent') return;
    const written = core.updateMetadata({ outdated: true });
    await withDeadline(core.environment.clock, DEVICE_TIMEOUT_MS, 'the metadata', written);
  }

  /** A connection made meanwhile may have made this copy whole again. */
  private tell(told: readonly PeerConnection[]): boolean {
    const { consistent, outdated } = this.core.device.metadata();
    const diskState = consistent ? 'Outdated' : 'Inconsistent';
    if (consistent && !outdated) return false;
    for (const one of told) one.send({ type: 'farewell', diskState });
    this.core.gate.propose({ diskState });
    return true;
  }

  /** What was sent last a closed connection may lose. */
  private untilHeard(): Promise<void> {
    const { clock } = this.core.environment;
    return new Promise((resolve) => void clock.after(FAREWELL_MS, resolve));
  }
}
