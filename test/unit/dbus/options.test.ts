// Options of a method: unknown keys and wrong types are refused in words that help.

import { Variant } from 'dbus-next';
import { readOptions } from '../../../src/dbus/options';
import { MirrorError } from '../../../src/model/errors';

const KNOWN = { full: 'b', from: 's', 'discard-my-data': 'b' } as const;

function refusal(given: unknown, known: Readonly<Record<string, 'b' | 's'>> = KNOWN): string {
  try {
    readOptions(given, known);
  } catch (error) {
    if (error instanceof MirrorError) return `${error.code}: ${error.message}`;
  }
  return 'accepted';
}

test('known keys of the right type are read', () => {
  const given = { full: new Variant('b', true), from: new Variant('s', 'beta') };
  expect(readOptions(given, KNOWN)).toEqual({ full: true, from: 'beta' });
});

test('an unknown key is refused, naming the nearest and the known ones', () => {
  expect(refusal({ ful: new Variant('b', true) })).toBe(
    'InvalidArgs: unknown option "ful"; did you mean full?; known are: full, from, discard-my-data',
  );
  expect(refusal({ x: new Variant('b', true) }, {})).toBe(
    'InvalidArgs: unknown option "x"; there are none here',
  );
});

test.each(['toString', 'constructor', '__proto__'])('the key %s is unknown too', (key) => {
  const given: Record<string, unknown> = {};
  given[key] = new Variant('b', true);
  expect(refusal(given)).toMatch(/^InvalidArgs: unknown option/);
});

test('a wrong type is refused', () => {
  expect(refusal({ full: new Variant('s', 'yes') })).toBe(
    'InvalidArgs: the option full must be a boolean ("b"), not of type "s"',
  );
});
