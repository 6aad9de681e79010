/**
 * Runs of set bits: of extents in the activity log, of 4 KiB blocks in a slot of the bitmap, and
 * the bit arrays of a metadata image made from them. Bit n is in byte n / 8, value 1 << n % 8.
 */
import type { SlotImage } from '../plane/metadataTools';

export const EXTENT_BYTES = 4 * 1024 * 1024;
export const BLOCK_BYTES = 4096;
/** Of one bitmap page. */
export const PAGE_BIT_BYTES = 3968;
export const PAGE_BLOCKS = PAGE_BIT_BYTES * 8;

/** First and last, both set. */
export type Run = readonly [number, number];

/** The number of `unit` bytes that a device has, the last one perhaps short. */
export function countOf(deviceBytes: bigint, unit: number): number {
  return Number((deviceBytes + BigInt(unit) - 1n) / BigInt(unit));
}

export function* runsOfBits(bits: Buffer, count: number, first = 0): Generator<Run> {
  let start = -1;
  for (let at = 0; at < count; at++) {
    const set = ((bits[at >> 3] ?? 0) & (1 << (at & 7))) !== 0;
    if (set && start < 0) start = at;
    if (!set && start >= 0) {
      yield [first + start, first + at - 1];
      start = -1;
    }
  }
  if (start >= 0) yield [first + start, first + count - 1];
}

/** Of a slot's bitmap, those that touch at a page's end made one. */
export function* runsOfSlot(slot: SlotImage, blocks: number): Generator<Run> {
  let held: Run | undefined;
  for (const run of pageRuns(slot, blocks)) {
    if (held !== undefined && held[1] + 1 === run[0]) {
      held = [held[0], run[1]];
      continue;
    }
    if (held !== undefined) yield held;
    held = run;
  }
  if (held !== undefined) yield held;
}

function* pageRuns(slot: SlotImage, blocks: number): Generator<Run> {
  let partial = 0;
  for (const [page, state] of slot.states.entries()) {
    const first = page * PAGE_BLOCKS;
    const count = Math.min(PAGE_BLOCKS, blocks - first);
    if (state === 2) yield [first, first + count - 1];
    if (state !== 1) continue;
    const start = partial++ * PAGE_BIT_BYTES;
    yield* runsOfBits(slot.bits.subarray(start, start + PAGE_BIT_BYTES), count, first);
  }
}

export function setRun(bits: Buffer, [first, last]: Run): void {
  for (let at = first; at <= last;) {
    if ((at & 7) === 0 && at + 7 <= last) {
      bits[at >> 3] = 0xff;
      at += 8;
    } else {
      bits[at >> 3] = (bits[at >> 3] ?? 0) | (1 << (at & 7));
      at++;
    }
  }
}

/** Collects runs, in any order, into the pages of one slot. */
export class SlotBuilder {
  private readonly states: Buffer;
  private readonly partial = new Map<number, Buffer>();

  constructor(private readonly blocks: number) {
    this.states = Buffer.alloc(Math.ceil(blocks / PAGE_BLOCKS));
  }

  add([first, last]: Run): void {
    for (let page = Math.floor(first / PAGE_BLOCKS); page * PAGE_BLOCKS <= last; page++) {
      const start = page * PAGE_BLOCKS;
      const most = this.pageBlocks(page) - 1;
      const run: Run = [Math.max(first - start, 0), Math.min(last - start, most)];
      if (run[0] === 0 && run[1] === most) this.states[page] = 2;
      if (this.states[page] === 2) this.partial.delete(page);
      else this.mark(page, run);
    }
  }

  image(): SlotImage {
    const pages = [...this.partial.keys()].sort((a, b) => a - b);
    const bits = pages.flatMap((page) => {
      const content = this.partial.get(page) ?? Buffer.alloc(PAGE_BIT_BYTES);
      const [run] = runsOfBits(content, this.pageBlocks(page));
      const whole = run?.[0] === 0 && run[1] === this.pageBlocks(page) - 1;
      this.states[page] = whole ? 2 : 1;
      return whole ? [] : [content];
    });
    return { states: this.states, bits: Buffer.concat(bits) };
  }

  private mark(page: number, run: Run): void {
    let content = this.partial.get(page);
    if (content === undefined) {
      content = Buffer.alloc(PAGE_BIT_BYTES);
      this.partial.set(page, content);
    }
    setRun(content, run);
  }

  private pageBlocks(page: number): number {
    return Math.min(PAGE_BLOCKS, this.blocks - page * PAGE_BLOCKS);
  }
}

/** Everything is out of sync. */
export function wholeSlot(blocks: number): SlotImage {
  const builder = new SlotBuilder(blocks);
  builder.add([0, blocks - 1]);
  return builder.image();
}
