/**
 * What the four interfaces of the XML mean in terms of the service: their methods and values.
 * Unknown numbers are UINT64_MAX or -1, unknown texts empty, as the XML says.
 */
import { Variant } from 'dbus-next';
import type { NodeName, ResourceName } from '../model/states';
import type {
  DeviceStatus,
  JobStatus,
  PeerStatus,
  SplitBrainSide,
  SplitBrainStatus,
} from '../model/status';
import type { MirrorDevice } from '../resource/device';
import type { MirrorService } from '../service/mirrorService';
import { MirrorError } from '../model/errors';
import { readInterface } from './interfaceXml';
import type { InterfaceSpec } from './interfaceXml';
import type { ExportedInterface, PropertyValues } from './objectTree';
import { readOptions } from './options';
import { DEVICE_INTERFACE, JOB_INTERFACE, MANAGER_INTERFACE, PEER_INTERFACE } from './paths';
import { devicePath, jobPath, peerPath } from './paths';

const UINT64_MAX = 0xffff_ffff_ffff_ffffn;
const UNKNOWN_PERCENT = -1;

export interface MirrorInterfaces {
  readonly manager: InterfaceSpec;
  readonly device: InterfaceSpec;
  readonly peer: InterfaceSpec;
  readonly job: InterfaceSpec;
}

/** Reads the XML files. */
export function readMirrorInterfaces(): MirrorInterfaces {
  return {
    manager: readInterface(MANAGER_INTERFACE),
    device: readInterface(DEVICE_INTERFACE),
    peer: readInterface(PEER_INTERFACE),
    job: readInterface(JOB_INTERFACE),
  };
}

export function managerInterface(spec: InterfaceSpec, service: MirrorService): ExportedInterface {
  return {
    spec,
    methods: {
      Up: async ([name, options]) => {
        readOptions(options, {});
        return [devicePath(await service.up(name as string))];
      },
      Down: async ([name, options]) => {
        readOptions(options, {});
        await service.down(name as string);
        return [];
      },
      Reload: async ([options]) => {
        readOptions(options, {});
        await service.reload();
        return [];
      },
    },
    properties: () => ({ Version: service.version, NodeName: service.nodeName }),
  };
}

export function deviceInterface(
  spec: InterfaceSpec,
  service: MirrorService,
  device: MirrorDevice,
): ExportedInterface {
  return {
    spec,
    methods: {
      Promote: async ([given]) => {
        const options = readOptions(given, { force: 'b' });
        await device.promote({ force: options.force ?? false });
        return [];
      },
      Demote: async ([given]) => {
        readOptions(given, {});
        await device.demote();
        return [];
      },
      ...diskMethods(device),
      Resync: async ([given]) => [await startResync(service, device, given)],
      Connect: async ([given]) => {
        const options = readOptions(given, {
          peer: 's',
          'discard-my-data': 'b',
          'dry-run': 'b',
        });
        const discardMyData = options['discard-my-data'] ?? false;
        const dryRun = options['dry-run'] ?? false;
        await device.connect({ ...peerOption(options.peer), discardMyData, dryRun });
        return [];
      },
      Disconnect: async ([given]) => {
        const options = readOptions(given, { peer: 's' });
        await device.disconnect(peerOption(options.peer));
        return [];
      },
      Invalidate: async ([given]) => {
        readOptions(given, {});
        await device.invalidate();
        return [];
      },
      InvalidateRemote: async ([given]) => {
        const options = readOptions(given, { peer: 's' });
        if (options.peer === undefined) {
          throw new MirrorError('InvalidArgs', 'the option peer is missing: name the peer');
        }
        await device.invalidateRemote(options.peer as NodeName);
        return [];
      },
      Outdate: async ([given]) => {
        readOptions(given, {});
        await device.outdate();
        return [];
      },
      ResumeIo: async ([given]) => {
        readOptions(given, {});
        await device.resumeIo();
        return [];
      },
    },
    properties: () => deviceProperties(device.status()),
  };
}

function diskMethods(device: MirrorDevice): ExportedInterface['methods'] {
  return {
    Attach: async ([given]) => {
      readOptions(given, {});
      await device.attach();
      return [];
    },
    Detach: async ([given]) => {
      const options = readOptions(given, { force: 'b' });
      await device.detach({ force: options.force ?? false });
      return [];
    },
  };
}

export function peerInterface(
  spec: InterfaceSpec,
  device: MirrorDevice,
  name: NodeName,
): ExportedInterface {
  let last: PropertyValues = {};
  const properties = (): PropertyValues => {
    const peer = device.status().peers.find((each) => each.name === name);
    // Between its leaving the configuration and the removal of its object it is as it was.
    if (peer !== undefined) last = peerProperties(peer);
    return last;
  };
  return { spec, methods: {}, properties };
}

export function jobInterface(
  spec: InterfaceSpec,
  service: MirrorService,
  id: number,
): ExportedInterface {
  let last: PropertyValues = {};
  const properties = (): PropertyValues => {
    const job = service.jobs.tryStatus(id);
    if (job !== undefined) last = jobProperties(job);
    return last;
  };
  const cancel = async ([given]: readonly unknown[]): Promise<readonly unknown[]> => {
    readOptions(given, {});
    service.jobs.cancel(id);
    return Promise.resolve([]);
  };
  return { spec, methods: { Cancel: cancel }, properties };
}

async function startResync(
  service: MirrorService,
  device: MirrorDevice,
  given: unknown,
): Promise<string> {
  const options = readOptions(given, { full: 'b', from: 's', to: 's' });
  if (options.from !== undefined && options.to !== undefined) {
    throw new MirrorError('InvalidArgs', 'from and to exclude each other; give one of them');
  }
  const id = await service.resync(device, {
    full: options.full ?? false,
    ...(options.from === undefined ? {} : { from: options.from as NodeName }),
    ...(options.to === undefined ? {} : { to: options.to as NodeName }),
  });
  return jobPath(id);
}

/** The name is as the caller gave it; the device answers NotFound when it has no such peer. */
function peerOption(peer: string | undefined): { readonly peer?: NodeName } {
  return peer === undefined ? {} : { peer: peer as NodeName };
}

function deviceProperties(status: DeviceStatus): PropertyValues {
  return {
    Name: status.name,
    Role: status.role,
    DiskState: status.diskState,
    DevicePath: status.device ?? '',
    NbdSocket: status.nbdSocket ?? '',
    SizeBytes: wireNumber(status.sizeBytes),
    Protocol: status.protocol,
    CurrentUuid: status.currentUuid ?? '',
    Suspended: status.suspended,
    SuspendedReason: status.suspendedReason,
    MayPromote: status.mayPromote,
    Peers: peerPaths(status.name, status.peers),
  };
}

function peerPaths(resource: ResourceName, peers: readonly PeerStatus[]): readonly string[] {
  const names = peers.map((peer) => peer.name).sort();
  return names.map((name) => peerPath(resource, name));
}

function peerProperties(peer: PeerStatus): PropertyValues {
  return {
    Name: peer.name,
    Address: peer.address,
    ConnectionState: peer.connectionState,
    Reason: peer.reason,
    ReplicationState: peer.replicationState,
    Role: peer.role,
    DiskState: peer.diskState,
    OutOfSyncBytes: wireNumber(peer.outOfSyncBytes),
    ResyncDonePercent: peer.resyncDonePercent ?? UNKNOWN_PERCENT,
    ResyncBytesPerSecond: wireNumber(peer.resyncBytesPerSecond),
    SplitBrain: splitBrainVariants(peer.splitBrain),
  };
}

/** Empty: none is known. Times are microseconds since 1970, UINT64_MAX: unknown. */
function splitBrainVariants(status: SplitBrainStatus | null): Readonly<Record<string, Variant>> {
  if (status === null) return {};
  return {
    'parted-time': new Variant('t', wireTime(status.partedMs)),
    'resync-bytes': new Variant('t', wireNumber(status.resyncBytes)),
    ...sideVariants('local', status.local),
    ...sideVariants('peer', status.peer),
  };
}

function sideVariants(side: string, status: SplitBrainSide): Record<string, Variant> {
  return {
    [`${side}-role`]: new Variant('s', status.role),
    [`${side}-was-primary`]: new Variant('s', status.wasPrimary),
    [`${side}-changed-bytes`]: new Variant('t', wireNumber(status.changedBytes)),
    [`${side}-parted-time`]: new Variant('t', wireTime(status.partedMs)),
    [`${side}-promoted-time`]: new Variant('t', wireTime(status.promotedMs)),
  };
}

function wireTime(timeMs: number | null): bigint {
  return wireNumber(timeMs === null ? null : timeMs * 1000);
}

function jobProperties(job: JobStatus): PropertyValues {
  return {
    Operation: job.operation,
    Device: devicePath(job.resource),
    State: job.state,
    Message: job.message,
    Progress: job.progress,
    BytesPerSecond: wireNumber(job.bytesPerSecond),
    ExpectedEndTime: wireNumber(job.expectedEndMs * 1000),
  };
}

function wireNumber(value: number | null): bigint {
  return value === null ? UINT64_MAX : BigInt(Math.max(0, Math.round(value)));
}
