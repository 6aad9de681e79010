/**
 * Loads the data plane for what runs without the service, and closes it behind it.
 */
import { openNativePlane } from '../plane/nativePlane';
import type { Plane } from '../plane/plane';

/** @throws Failed when the addon is not built, and whatever `action` throws */
export async function withPlane<T>(action: (plane: Plane) => Promise<T>): Promise<T> {
  const plane = openNativePlane();
  try {
    return await action(plane);
  } finally {
    plane.close();
  }
}
