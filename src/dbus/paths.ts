/**
 * Object paths of the service and their escaping, as sd_bus_path_encode(3) does it. Pure.
 */
import type { NodeName, ResourceName } from '../model/states';

export const BUS_NAME = 'org.blkmirror.Mirror1';
export const ROOT_PATH = '/org/blkmirror/Mirror1';
export const MANAGER_INTERFACE = 'org.blkmirror.Mirror1.Manager';
export const DEVICE_INTERFACE = 'org.blkmirror.Mirror1.Device';
export const PEER_INTERFACE = 'org.blkmirror.Mirror1.Peer';
export const JOB_INTERFACE = 'org.blkmirror.Mirror1.Job';

/**
 * One element of an object path: everything but letters and digits, and a leading digit, becomes
 * `_` and two hex digits of each byte; the empty text becomes `_`.
 */
export function escapePathElement(text: string): string {
  if (text === '') return '_';
  return Array.from(Buffer.from(text, 'utf8'), (byte, index) => {
    const character = String.fromCharCode(byte);
    const plain = index === 0 ? /[A-Za-z]/ : /[A-Za-z0-9]/;
    return plain.test(character) ? character : `_${byte.toString(16).padStart(2, '0')}`;
  }).join('');
}

/** The inverse of {@link escapePathElement}; undefined when `element` was not escaped by it. */
export function tryUnescapePathElement(element: string): string | undefined {
  if (element === '_') return '';
  if (!/^(?:[A-Za-z0-9]|_[0-9a-f]{2})+$/.test(element)) return undefined;
  const bytes = element.replace(/_([0-9a-f]{2})|(.)/g, (_match, hex?: string, plain?: string) =>
    hex === undefined ? (plain ?? '').charCodeAt(0).toString(16) : hex,
  );
  const text = Buffer.from(bytes, 'hex').toString('utf8');
  return escapePathElement(text) === element ? text : undefined;
}

export function devicePath(resource: ResourceName): string {
  return `${ROOT_PATH}/devices/${escapePathElement(resource)}`;
}

export function peerPath(resource: ResourceName, peer: NodeName): string {
  return `${devicePath(resource)}/peers/${escapePathElement(peer)}`;
}

export function jobPath(id: number): string {
  return `${ROOT_PATH}/jobs/${id}`;
}
