/**
 * Randomness with a seed (sfc32), for the control plane of simulated nodes and for what happens to
 * them. One for each purpose, so that a change in one place leaves the others alone.
 */
import type { Random } from '../../src/model/clock';
import type { Uuid } from '../../src/model/states';

const WARM_UP = 15;

export class Dice implements Random {
  private a: number;
  private b = 0x9e3779b9;
  private c = 0x243f6a88;
  private d = 1;

  constructor(seed: number, purpose: number) {
    this.a = seed >>> 0;
    this.b ^= Math.floor(seed / 2 ** 32);
    this.c ^= Math.imul(purpose, 0x85ebca6b);
    for (let i = 0; i < WARM_UP; i += 1) this.next();
  }

  /** 32 bits. */
  next(): number {
    const sum = (((this.a + this.b) | 0) + this.d) | 0;
    this.d = (this.d + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (this.c << 21) | (this.c >>> 11);
    this.c = (this.c + sum) | 0;
    return sum >>> 0;
  }

  fraction(): number {
    return this.next() / 2 ** 32;
  }

  uuid(): Uuid {
    return (BigInt(this.next()) << 32n) + BigInt(this.next() | 8);
  }

  /** Both included. */
  between(low: number, high: number): number {
    return low + Math.floor(this.fraction() * (high - low + 1));
  }

  oneIn(count: number): boolean {
    return this.next() % count === 0;
  }

  pick<T>(from: readonly T[]): T {
    const chosen = from[this.between(0, from.length - 1)];
    if (chosen === undefined) throw new Error('nothing to choose from');
    return chosen;
  }

  /** By weight; those of weight 0 never. */
  weighted<T extends { readonly weight: number }>(from: readonly T[]): T {
    let left = this.fraction() * from.reduce((sum, one) => sum + one.weight, 0);
    for (const one of from) {
      left -= one.weight;
      if (left < 0) return one;
    }
    return this.pick(from.filter((one) => one.weight > 0));
  }
}
