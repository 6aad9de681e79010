/**
 * A Secondary that leaves its Primary on purpose, where lost peers are fenced: it declares its copy
 * Outdated and says so, since nobody has to be fenced who cannot be promoted with old data.
 *
 * Used by disconnect, detach, down and the end of the service; a crash says nothing, and is fenced.
 */
import { toMirrorError } from '../model/errors';
import { FAREWELL_MS } from '../model/limits';
import type { NodeName } from '../model/states';
import type { Core } from './core';
import type { PeerConnection } from './peerConnection';
import { whileNoneConnects } from './settling';

export class Farewell {
  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
  ) {}

  /** Before `leaving` are disconnected. Never fails: who is told nothing fences. */
  async bid(leaving: readonly PeerConnection[]): Promise<void> {
    const told = leaving.filter((one) => this.followsPrimary(one));
    if (told.length === 0) return;
    const connections = [...this.connections.values()];
    try {
      await whileNoneConnects(connections, 'the copy is declared Outdated', () => this.part(told));
    } catch (error) {
      this.core.report({ type: 'failed', error: toMirrorError(error) });
    }
  }

  /** What was sent last a closed connection may lose. */
  private async part(told: readonly PeerConnection[]): Promise<void> {
    const { core } = this;
    await core.markOutdated();
    // A connection made meanwhile may have made this copy whole again.
    if (!core.device.metadata().outdated) return;
    for (const one of told) one.sendLast({ type: 'farewell' });
    const { clock } = core.environment;
    await new Promise<void>((resolve) => void clock.after(FAREWELL_MS, resolve));
  }

  private followsPrimary(connection: PeerConnection): boolean {
    const { config, gate, hasDisk } = this.core;
    if (config.fencing === 'dont-care' || !hasDisk || !connection.takesFarewell) return false;
    const { role, replicationState } = gate.peer(connection.peer);
    const secondary = gate.snapshot().role === 'Secondary';
    // A resync may end later, and with it what was said of the copy.
    return secondary && role === 'Primary' && replicationState === 'Established';
  }
}
