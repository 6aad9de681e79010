// A resource without disk or network, for tests of the service and of D-Bus: it does what the
// interface says, and a test can change what it shows and make its commands fail.

import type { NodeConfig, ResourceConfig } from '../../src/config/types';
import type { MirrorError } from '../../src/model/errors';
import { MirrorError as Refusal } from '../../src/model/errors';
import type { NodeName, ResourceName } from '../../src/model/states';
import type { DeviceStatus, PeerStatus } from '../../src/model/status';
import type { IncomingConnection } from '../../src/plane/plane';
import type { DeviceChange, ResyncRequest, ResyncRun } from '../../src/resource/device';
import type { RunningDevice } from '../../src/service/mirrorService';

export class FakeDevice implements RunningDevice {
  readonly name: ResourceName;
  /** Commands in the order they came, with their arguments. */
  readonly calls: string[] = [];
  readonly accepted: IncomingConnection[] = [];
  config: ResourceConfig;
  shown: DeviceStatus;
  /** The next command fails with it. */
  nextError: MirrorError | undefined;
  isOver = false;
  readonly resumed = Promise.resolve();
  beats = 0n;
  fraction = 0;
  private settleRun: { done: () => void; failed: (error: Error) => void } | undefined;

  constructor(
    config: ResourceConfig,
    node: NodeConfig,
    private readonly onChange: (change: DeviceChange) => void,
  ) {
    this.name = config.name;
    this.config = config;
    this.shown = freshStatus(config, node);
  }

  status(): DeviceStatus {
    return this.shown;
  }

  show(change: Partial<DeviceStatus>): void {
    this.shown = { ...this.shown, ...change };
    this.onChange({ type: 'changed' });
  }

  showPeer(name: string, change: Partial<PeerStatus>): void {
    const peers = this.shown.peers.map((peer) =>
      peer.name === name ? { ...peer, ...change } : peer,
    );
    this.show({ peers });
  }

  async promote(options: { readonly force: boolean }): Promise<void> {
    this.command('promote', options);
    this.show({ role: 'Primary', nbdSocket: `/run/fake/${this.name}.sock` });
  }

  async demote(): Promise<void> {
    this.command('demote');
    this.show({ role: 'Secondary', nbdSocket: null });
  }

  async resync(request: ResyncRequest): Promise<ResyncRun> {
    this.command('resync', request);
    const finished = new Promise<void>((done, failed) => {
      this.settleRun = { done, failed };
    });
    return {
      peer: this.shown.peers[0]?.name ?? ('nobody' as NodeName),
      progress: () => ({ fraction: this.fraction, bytesPerSecond: 1000 }),
      finished,
      cancel: () => this.endResync(new Refusal('Failed', 'cancelled')),
    };
  }

  endResync(error?: Error): void {
    if (error === undefined) this.settleRun?.done();
    else this.settleRun?.failed(error);
  }

  async invalidateRemote(peer: string): Promise<void> {
    this.command('invalidateRemote', { peer });
  }

  async outdate(): Promise<void> {
    this.command('outdate');
  }

  async resumeIo(): Promise<void> {
    this.command('resumeIo');
    return Promise.resolve();
  }

  async attach(): Promise<void> {
    this.command('attach');
  }

  async detach(options: object): Promise<void> {
    this.command('detach', options);
  }

  async invalidate(): Promise<void> {
    this.command('invalidate');
  }

  async connect(options: object): Promise<void> {
    this.command('connect', options);
  }

  async disconnect(options: object): Promise<void> {
    this.command('disconnect', options);
  }

  async reconfigure(config: ResourceConfig): Promise<void> {
    this.command('reconfigure');
    this.config = config;
  }

  async down(): Promise<void> {
    this.command('down');
    this.isOver = true;
  }

  async close(): Promise<void> {
    this.command('close');
  }

  accept(connection: IncomingConnection): void {
    this.accepted.push(connection);
  }

  heartbeat(): bigint {
    return this.beats;
  }

  private command(name: string, options?: object): void {
    this.calls.push(options === undefined ? name : `${name} ${JSON.stringify(options)}`);
    const error = this.nextError;
    this.nextError = undefined;
    if (error !== undefined) throw error;
  }
}

function freshStatus(config: ResourceConfig, node: NodeConfig): DeviceStatus {
  const others = config.nodes.filter((other) => other.name !== node.name);
  return {
    name: config.name,
    role: 'Secondary',
    diskState: 'Inconsistent',
    device: null,
    nbdSocket: null,
    sizeBytes: 1 << 20,
    protocol: 'C',
    suspended: false,
    suspendedReason: '',
    currentUuid: '0000000000000004',
    mayPromote: false,
    peers: others.map((peer) => ({
      name: peer.name,
      address: peer.address,
      connectionState: 'Connecting',
      reason: '',
      replicationState: 'Off',
      role: 'Unknown',
      diskState: 'DUnknown',
      outOfSyncBytes: 1 << 20,
      resyncDonePercent: null,
      resyncBytesPerSecond: 0,
      splitBrain: null,
    })),
  };
}
