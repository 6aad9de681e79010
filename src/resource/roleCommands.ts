/**
 * promote and demote. What is durable when they return: the Primary indicator, and with a
 * forced promotion the new generation.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import { DEVICE_TIMEOUT_MS } from '../model/limits';
import type { Random } from '../model/clock';
import { JUST_CREATED_UUID } from '../model/states';
import type { NodeName, OwnDiskState, Uuid } from '../model/states';
import type { Metadata, MetadataPatch, Slot } from '../plane/plane';
import { diskStateOf } from '../rules/diskState';
import { judgeOutdating } from '../rules/outdating';
import { judgePromotion } from '../rules/promotion';
import type { PromotionAnswer } from '../rules/promotion';
import { isTarget } from '../rules/transitions';
import type { Core } from './core';
import { withDeadline } from './deadline';
import type { Fencing } from './fencing';
import type { PeerConnection } from './peerConnection';
import type { PromotionDesk } from './promotionDesk';
import { settleAll, whileNoneConnects } from './settling';

export class RoleCommands {
  constructor(
    private readonly core: Core,
    private readonly connections: ReadonlyMap<NodeName, PeerConnection>,
    private readonly desk: PromotionDesk,
    private readonly fencing: Fencing,
  ) {}

  judge(force: boolean): PromotionAnswer {
    const { role, diskState, peers } = this.core.gate.snapshot();
    const others = [...peers].map(([name, peer]) => ({
      ...peer,
      name,
      connected: peer.connectionState === 'Connected',
    }));
    return judgePromotion({ resource: this.core.name, force, role, diskState, peers: others });
  }

  /** `object`: throws what stands against it, once all others have agreed. */
  async promote(force: boolean, object: () => void = () => undefined): Promise<void> {
    if (this.core.gate.snapshot().role === 'Primary') {
      this.allow(force);
      if (force) await this.goOnAlone();
      return;
    }
    this.desk.begin();
    this.fencing.begin();
    try {
      await this.settle();
      this.refuseEarly(force);
      await this.fencing.beforePromotion(force);
      await this.desk.ask(this.connected());
      this.fencing.recheck(force);
      object();
      await this.take(this.allow(force));
    } catch (error) {
      this.fencing.end();
      this.desk.abort();
      throw error;
    } finally {
      this.core.promoting = false;
      for (const connection of this.connections.values()) connection.resume();
    }
  }

  /** `force`: clients are cut off. @throws DeviceInUse otherwise, while there are any */
  async demote(force = false): Promise<void> {
    if (this.core.gate.snapshot().role !== 'Primary') return;
    this.refuseSuspended();
    await this.core.kernel.claim(force);
    try {
      await this.withdraw(force);
    } catch (error) {
      this.core.kernel.unclaim();
      throw error;
    }
    await this.core.kernel.detach();
    if (this.core.hasDisk) await this.core.updateMetadata({ primaryIndicator: false });
    this.core.gate.propose({ role: 'Secondary', ...this.settledCopy() });
  }

  /** A copy that waited for a peer to fill it, under clients that it was not to be shown to. */
  private settledCopy(): { readonly diskState?: OwnDiskState } {
    const { gate, device } = this.core;
    const waited = gate.snapshot().diskState === 'Negotiating';
    return waited ? { diskState: diskStateOf(device.metadata()) } : {};
  }

  /** Durable when it returns. @throws InvalidArgs, NotUpToDate, NotAttached */
  async outdate(): Promise<void> {
    const { gate, name } = this.core;
    const { role, diskState } = gate.snapshot();
    const connected = this.connected();
    const answer = judgeOutdating({ resource: name, role, diskState, connected });
    if (answer.kind === 'refused') throw new MirrorError(answer.code, answer.message);
    if (answer.kind === 'alreadyOutdated') return;
    const connections = [...this.connections.values()];
    await whileNoneConnects(connections, 'the copy is declared Outdated', () =>
      this.core.markOutdated(),
    );
  }

  /** Demotes for a `down`; what is suspended and used by nobody is left as it is. */
  async leave(): Promise<void> {
    const { kernel, device } = this.core;
    const idle = device.statistics().clientPids.length === 0 && !kernel.isThere;
    if (this.fencing.reason === '' || !idle) await this.demote();
  }

  /** The last flush would wait as long as everything else does. */
  private refuseSuspended(): void {
    const { name } = this.core;
    if (this.fencing.reason === '') return;
    const message = `I/O of ${name} is suspended: ${this.fencing.reason}`;
    throw new MirrorError('InTransition', message);
  }

  /** Stops serving. @throws DeviceInUse with the names of the clients, unless `force` */
  async withdraw(force: boolean): Promise<void> {
    const { device, environment, timeoutMs } = this.core;
    // A silent peer has its time to answer, and the disk has its own.
    const limitMs = timeoutMs + DEVICE_TIMEOUT_MS;
    try {
      const withdrawal = device.withdraw(force);
      await withDeadline(environment.clock, limitMs, 'the last flush', withdrawal);
    } catch (error) {
      const failure = toMirrorError(error);
      throw failure.code === 'DeviceInUse' ? this.describeUse(failure) : failure;
    }
  }

  /** Every peer that can be reached is connected and asked; what is dialled or negotiated ends. */
  private async settle(): Promise<void> {
    const connections = [...this.connections.values()];
    await settleAll(this.core, connections);
    this.core.promoting = true;
    const dropped = connections.filter((connection) => connection.mayConnect);
    for (const connection of dropped) connection.hold('a promotion is under way');
    // What a handshake has begun to write down of this copy counts: it is waited for.
    if (this.core.isUpdating && this.core.hasDisk) await this.core.updateMetadata({});
  }

  private connected(): NodeName[] {
    return [...this.connections.values()].filter((one) => one.isConnected).map((one) => one.peer);
  }

  /** Before peers are asked. Whether one is Primary it says itself: it may just have been. */
  private refuseEarly(force: boolean): void {
    const answer = this.judge(force);
    if (answer.kind !== 'refused' || answer.code === 'PeerIsPrimary') return;
    throw new MirrorError(answer.code, answer.message);
  }

  private allow(force: boolean): Extract<PromotionAnswer, { readonly kind: 'allowed' }> {
    const answer = this.judge(force);
    if (answer.kind === 'refused') throw new MirrorError(answer.code, answer.message);
    return answer.kind === 'allowed' ? answer : { kind: 'allowed', newGeneration: false };
  }

  private async take({ newGeneration }: { newGeneration: boolean }): Promise<void> {
    const { core } = this;
    const patch = newGeneration
      ? beginGeneration(core.device.metadata(), core.environment.random)
      : {};
    const wasConsistent = core.gate.snapshot().diskState === 'Consistent';
    const current = wasConsistent ? { wasUpToDate: true } : {};
    const apart = this.slotsApart();
    const peers = apart.map((slot) => ({ slot, promotedApart: true }));
    await core.updateMetadata({ ...patch, ...current, peers, primaryIndicator: true });
    for (const connection of this.connections.values()) connection.forgetRequests();
    try {
      await this.serve();
      await core.kernel.attach();
      const upToDate = newGeneration || wasConsistent;
      core.gate.propose({ role: 'Primary', ...(upToDate ? { diskState: 'UpToDate' } : {}) });
    } catch (error) {
      await this.undo(apart);
      // A generation that was begun stays.
      if (newGeneration) core.gate.propose({ diskState: diskStateOf(core.device.metadata()) });
      throw error;
    }
    this.desk.commit();
    if (newGeneration) this.renegotiateAll();
    await core.kernel.ready();
  }

  /** A Primary that lost its source in the middle: what it has becomes the newest data. */
  private async goOnAlone(): Promise<void> {
    const { core } = this;
    const state = core.gate.snapshot();
    const source = [...state.peers.values()].some((peer) => isTarget(peer.replicationState));
    if (state.diskState !== 'Inconsistent' || source) return;
    await this.fencing.beforePromotion(true);
    const patch = beginGeneration(core.device.metadata(), core.environment.random);
    const peers = this.slotsApart().map((slot) => ({ slot, promotedApart: true }));
    await core.updateMetadata({ ...patch, peers });
    core.gate.propose({ diskState: 'UpToDate' });
    this.renegotiateAll();
  }

  /** Peers that miss this promotion, and have missed nothing so far. */
  private slotsApart(): Slot[] {
    return this.core.device
      .metadata()
      .peers.filter((record) => record.bitmapUuid === 0n && !record.promotedApart)
      .filter((record) => this.connections.get(record.name)?.isConnected !== true)
      .map(({ slot }) => slot);
  }

  private serve(): Promise<void> {
    const { device, environment, name } = this.core;
    const socketPath = socketPathOf(this.core);
    const serving = device.serve({ socketPath, exportName: name });
    // What peers have sent is written before.
    return withDeadline(environment.clock, DEVICE_TIMEOUT_MS, 'the beginning of service', serving);
  }

  /** Nobody was served: the promotion never was, also for `apart`. */
  private async undo(apart: readonly Slot[]): Promise<void> {
    await this.core.device.withdraw(true);
    if (!this.core.resuming) await this.core.kernel.detach();
    const peers = apart.map((slot) => ({ slot, promotedApart: false }));
    await this.core.updateMetadata({ peers, primaryIndicator: false });
  }

  private renegotiateAll(): void {
    for (const connection of this.connections.values()) {
      connection.renegotiate('a new generation began here');
    }
  }

  private describeUse(failure: MirrorError): MirrorError {
    const { device, environment, name } = this.core;
    const clients = device.statistics().clientPids.map((pid) => {
      const command = environment.processName(pid);
      return command === undefined ? `pid ${pid}` : `${command} (pid ${pid})`;
    });
    if (clients.length === 0) return failure;
    const message = `${name} is in use by ${clients.join(', ')}: stop using it first`;
    return new MirrorError('DeviceInUse', message, { cause: failure });
  }
}

export function socketPathOf(core: Core): string {
  return `${core.environment.runDir}/${core.name}.sock`;
}

/** This copy, as it is, becomes the newest data. */
function beginGeneration(metadata: Metadata, random: Random): MetadataPatch {
  const { currentUuid } = metadata;
  return {
    ifCurrentUuid: currentUuid,
    currentUuid: random.uuid(),
    addHistory: ancestors(metadata, random),
    consistent: true,
    wasUpToDate: true,
    outdated: false,
  };
}

/**
 * The first generation gets one before it, by which two copies are related that part in it. Who
 * has all of a generation that this copy has not all of must not be taken for behind it: they
 * part before it.
 */
function ancestors({ currentUuid, consistent }: Metadata, random: Random): Uuid[] {
  if (currentUuid === JUST_CREATED_UUID) return [random.uuid()];
  return consistent ? [currentUuid] : [];
}
