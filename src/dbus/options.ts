/**
 * The options dictionary (a{sv}) of a method: which keys it knows and of which type. Pure.
 */
import type { Variant } from 'dbus-next';
import { didYouMean } from '../config/nearest';
import { MirrorError } from '../model/errors';
import { quote } from './refusal';

/** Signatures by key: `b` or `s`. */
export type OptionTypes = Readonly<Record<string, 'b' | 's'>>;

export type OptionValues<T extends OptionTypes> = {
  readonly [K in keyof T]?: T[K] extends 'b' ? boolean : string;
};

/**
 * The values of the options given.
 * @throws InvalidArgs for an unknown key (naming the nearest and all known) and for a wrong type
 */
export function readOptions<T extends OptionTypes>(given: unknown, known: T): OptionValues<T> {
  const dictionary = given as Readonly<Record<string, Variant<unknown>>>;
  if (Object.getPrototypeOf(dictionary) !== Object.prototype) refuseKey('__proto__', known);
  const values: Record<string, unknown> = {};
  for (const [key, { signature, value }] of Object.entries(dictionary)) {
    const type = Object.hasOwn(known, key) ? known[key] : undefined;
    if (type === undefined) refuseKey(key, known);
    if (signature !== type) {
      const right = type === 'b' ? 'a boolean ("b")' : 'a string ("s")';
      const message = `the option ${key} must be ${right}, not of type "${signature}"`;
      throw new MirrorError('InvalidArgs', message);
    }
    values[key] = value;
  }
  return values as OptionValues<T>;
}

function refuseKey(key: string, known: OptionTypes): never {
  const names = Object.keys(known);
  const which = names.length === 0 ? 'there are none here' : `known are: ${names.join(', ')}`;
  const message = `unknown option ${quote(key)}${didYouMean(key.slice(0, 64), names)}; ${which}`;
  throw new MirrorError('InvalidArgs', message);
}
