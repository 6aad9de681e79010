// A data plane in memory: metadata by the path that holds it. Only what works without a service.

import { MirrorError } from '../../../src/model/errors';
import type { NodeName, ResourceName } from '../../../src/model/states';
import type { MetadataPlan, MetadataTools } from '../../../src/plane/metadataTools';
import type { CreateMetadataSpec, Metadata, Plane } from '../../../src/plane/plane';

export class FakePlane {
  readonly created: CreateMetadataSpec[] = [];
  readonly present = new Map<string, Metadata>();
  /** createMetadata fails with it. */
  nextError: MirrorError | undefined;

  /** What planMetadata() answers. */
  plan: MetadataPlan = { deviceBytes: 1n << 30n, metadataBytes: 1n << 20n };

  asPlane(): Plane & MetadataTools {
    return this as unknown as Plane & MetadataTools;
  }

  async planMetadata(): Promise<MetadataPlan> {
    return this.plan;
  }

  async readMetadata(disk: string, metaDisk: string): Promise<Metadata> {
    const found = this.present.get(metaDisk === 'internal' ? disk : metaDisk);
    if (found === undefined) throw new MirrorError('NotAttached', `${disk} has no metadata`);
    return found;
  }

  async createMetadata(spec: CreateMetadataSpec): Promise<Metadata> {
    this.created.push(spec);
    if (this.nextError !== undefined) throw this.nextError;
    return metadataOf(spec.resource, spec.node);
  }
}

export function metadataOf(resource: string, node: string): Metadata {
  return {
    resource: resource as ResourceName,
    node: node as NodeName,
    generation: 1n,
    sizeBytes: 1n << 30n,
    superblockOffset: 0n,
    blockBytes: 512,
    currentUuid: 4n,
    historyUuids: [],
    consistent: false,
    wasUpToDate: false,
    primaryIndicator: false,
    outdated: false,
    crashed: false,
    crashedPrimary: false,
    crashedMachine: false,
    writeSequence: 0n,
    promotedMs: 0,
    peers: [],
  };
}
