/**
 * Loads the data plane for what runs without the service, and closes it behind it.
 */
import { openMetadataTools, openNativePlane } from '../plane/nativePlane';
import type { MetadataTools } from '../plane/metadataTools';
import type { Plane } from '../plane/plane';

/** @throws Failed when the addon is not built, and whatever `action` throws */
export async function withPlane<T>(
  action: (plane: Plane, tools: MetadataTools) => Promise<T>,
): Promise<T> {
  const plane = openNativePlane();
  try {
    return await action(plane, openMetadataTools());
  } finally {
    plane.close();
  }
}
