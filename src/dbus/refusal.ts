/**
 * Errors that are the bus's business, not the mirror's: an unknown object, a wrong signature.
 * They carry the standard names, which every D-Bus client knows. Pure.
 */
import { MirrorError, toMirrorError } from '../model/errors';
import { MAX_QUOTED_CHARACTERS } from './limits';

const STANDARD_PREFIX = 'org.freedesktop.DBus.Error.';

export type StandardError =
  | 'UnknownObject'
  | 'UnknownInterface'
  | 'UnknownMethod'
  | 'UnknownProperty'
  | 'PropertyReadOnly'
  | 'InvalidArgs'
  | 'LimitsExceeded';

export class BusRefusal extends Error {
  readonly dbusName: string;

  constructor(error: StandardError, message: string) {
    super(message);
    this.name = 'BusRefusal';
    this.dbusName = STANDARD_PREFIX + error;
  }
}

/** Name and text of the error as the caller gets it: one line or several, never a stack trace. */
export function describeError(error: unknown): { readonly name: string; readonly text: string } {
  if (error instanceof BusRefusal) return { name: error.dbusName, text: error.message };
  const known = toMirrorError(error);
  const text = error instanceof MirrorError ? known.message : firstLine(known.message);
  return { name: known.dbusName, text: text.replaceAll('\0', '?') };
}

/** What a caller wrote, in quotes and not longer than fits in a message. */
export function quote(text: string): string {
  if (text.length <= MAX_QUOTED_CHARACTERS) return JSON.stringify(text);
  return `${JSON.stringify(text.slice(0, MAX_QUOTED_CHARACTERS))}...`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
