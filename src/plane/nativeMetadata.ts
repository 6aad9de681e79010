/**
 * Metadata that nothing has attached, over the C++ addon (native/bind/metadata_image,
 * metadata_repair, metadata_growth). Made by nativePlane.ts.
 */
import type { ResourceName } from '../model/states';
import type { MetadataAddon } from './addon';
import { checkCreate, checkName, checkPath } from './checks';
import type {
  GrowthReport,
  GrowthSpec,
  MetadataDump,
  MetadataPlan,
  MetadataTools,
  RepairReport,
  RepairSpec,
  RestoreSpec,
} from './metadataTools';
import { DISK_CODES, toPlaneError } from './nativeErrors';
import type { CreateMetadataSpec, Metadata } from './plane';

/** Work on disks, with its errors as those of the table. */
export async function onDisks<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw toPlaneError(error, DISK_CODES);
  }
}

export class NativeMetadata implements MetadataTools {
  constructor(private readonly addon: MetadataAddon) {}

  planMetadata(spec: CreateMetadataSpec): Promise<MetadataPlan> {
    checkCreate(spec);
    return onDisks(this.addon.planMetadata(spec));
  }

  dumpMetadata(
    resource: ResourceName,
    disk: string,
    metaDisk: string,
    unclaimed: boolean,
  ): Promise<MetadataDump> {
    checkPath('disk', disk);
    checkPath('meta-disk', metaDisk);
    const path = metaDisk === 'internal' ? '' : metaDisk;
    return onDisks(this.addon.dumpMetadata(disk, path, unclaimed, resource));
  }

  restoreMetadata(spec: RestoreSpec): Promise<Metadata> {
    checkPath('disk', spec.disk);
    checkPath('meta-disk', spec.metaDisk);
    return onDisks(this.addon.restoreMetadata(spec));
  }

  repairMetadata(spec: RepairSpec): Promise<RepairReport> {
    checkName("resource's name", spec.resource);
    checkName("node's name", spec.node);
    checkPath('disk', spec.disk);
    checkPath('meta-disk', spec.metaDisk);
    return onDisks(this.addon.repairMetadata(spec));
  }

  growCopy(spec: GrowthSpec): Promise<GrowthReport> {
    checkName("resource's name", spec.resource);
    checkName("node's name", spec.node);
    checkPath('disk', spec.disk);
    checkPath('meta-disk', spec.metaDisk);
    return onDisks(this.addon.growCopy(spec));
  }
}
