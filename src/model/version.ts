/**
 * The version of this program: of the package.json beside a bundle, or of the source tree.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** @param folder where the caller's file is */
export function programVersion(folder: string): string {
  for (const above of ['.', '..', '../..']) {
    const text = tryRead(join(folder, above, 'package.json'));
    if (text !== undefined) return (JSON.parse(text) as { readonly version: string }).version;
  }
  throw new Error(`no package.json at or above ${folder}`);
}

function tryRead(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
