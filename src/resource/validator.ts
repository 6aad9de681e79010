/**
 * Reads JSON that a peer sent, field by field. Nothing is believed: a missing field, a wrong
 * type or a value out of range throws FieldError, which ends that connection and nothing else.
 * Unknown fields are ignored.
 */
import { MAX_TEXT_CHARS } from '../model/limits';
import { tryParseUuid } from '../model/states';

export class FieldError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FieldError';
  }
}

export class Fields {
  private constructor(private readonly values: ReadonlyMap<string, unknown>) {}

  /** Of a JSON object in a text. */
  static parse(text: string): Fields {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new FieldError(`not JSON: ${error instanceof Error ? error.message : 'unreadable'}`);
    }
    return Fields.of(value, 'the frame');
  }

  private static of(value: unknown, what: string): Fields {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new FieldError(`${what} is not an object`);
    }
    return new Fields(new Map(Object.entries(value)));
  }

  fields(name: string): Fields {
    return Fields.of(this.values.get(name), name);
  }

  text(name: string): string {
    const value = this.values.get(name);
    if (typeof value !== 'string') throw new FieldError(`${name} is not a text`);
    if (value.length > MAX_TEXT_CHARS) throw new FieldError(`${name} is too long`);
    return value;
  }

  flag(name: string): boolean {
    const value = this.values.get(name);
    if (typeof value !== 'boolean') throw new FieldError(`${name} is neither true nor false`);
    return value;
  }

  /** A whole number from 0. */
  count(name: string, max = Number.MAX_SAFE_INTEGER): number {
    const value = this.values.get(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
      throw new FieldError(`${name} is not a number from 0 to ${max}`);
    }
    return value;
  }

  /** 64 bits as 16 hex digits. */
  hex(name: string): bigint {
    return parseHex(this.values.get(name), name);
  }

  hexes(name: string, max: number): bigint[] {
    return this.list(name, max).map((value) => parseHex(value, name));
  }

  texts(name: string, max: number): string[] {
    return this.list(name, max).map((value) => {
      if (typeof value !== 'string') throw new FieldError(`${name} holds something else than text`);
      return value.slice(0, MAX_TEXT_CHARS);
    });
  }

  oneOf<T extends string>(name: string, allowed: readonly T[]): T {
    const value = this.values.get(name);
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) throw new FieldError(`${name} is not one of ${allowed.join(', ')}`);
    return found;
  }

  private list(name: string, max: number): unknown[] {
    const value: unknown = this.values.get(name);
    if (!Array.isArray(value)) throw new FieldError(`${name} is not a list`);
    if (value.length > max) throw new FieldError(`${name} has more than ${max} entries`);
    return value;
  }
}

function parseHex(value: unknown, name: string): bigint {
  const parsed = tryParseUuid(value);
  if (parsed === undefined) throw new FieldError(`${name} is not 16 hex digits`);
  return parsed;
}
