/**
 * Loads the data plane for what runs without the service, and closes it behind it.
 */
import { join } from 'node:path';
import type { Plane } from '../plane/plane';

interface PlaneModule {
  readonly openNativePlane: () => Plane;
}

export async function withPlane<T>(action: (plane: Plane) => Promise<T>): Promise<T> {
  const path = join(__dirname, '../plane/nativePlane.js');
  const { openNativePlane } = (await import(path)) as PlaneModule;
  const plane = openNativePlane();
  try {
    return await action(plane);
  } finally {
    plane.close();
  }
}
