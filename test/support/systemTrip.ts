// What counts the bytes that pass through any number of forwarders and stops them at a given one:
// a network that dies at an exact point of the replication stream.

import type { Tap } from './systemLane';

const HEADER_BYTES = 32;
const RESYNC_DATA = 13;

/** Counts what passes through any number of forwarders, and stops it at a given byte. */
export class Trip implements Tap {
  passedBytes = 0;
  private tripped = false;

  /** `onTrip` is called once, when `limitBytes` have passed; nothing does from then on. */
  constructor(
    private readonly limitBytes: number,
    private readonly onTrip: () => void,
  ) {}

  /** The part of the chunk that may pass. */
  take(chunk: Buffer): Buffer {
    const passing = chunk.subarray(0, Math.max(0, Math.floor(this.limitBytes) - this.passedBytes));
    this.passedBytes += passing.length;
    if (this.passedBytes >= Math.floor(this.limitBytes) && !this.tripped) {
      this.tripped = true;
      this.onTrip();
    }
    return passing;
  }
}

interface Stream {
  header: Buffer;
  payloadLeft: number;
  isResyncData: boolean;
}

/** The same, but only the blocks that a resync copies are counted. */
export class ResyncTrip implements Tap {
  passedBytes = 0;
  private readonly streams = new WeakMap<object, Stream>();

  constructor(
    private readonly limitBytes: number,
    private readonly onTrip: () => void,
  ) {}

  take(chunk: Buffer, lane: object): Buffer {
    const stream = this.streamOf(lane);
    let position = 0;
    while (position < chunk.length && this.passedBytes < this.limitBytes) {
      if (stream.payloadLeft > 0) position += this.pass(stream, chunk.length - position);
      else position += readHeader(stream, chunk.subarray(position));
    }
    return chunk.subarray(0, position);
  }

  private streamOf(lane: object): Stream {
    const known = this.streams.get(lane);
    if (known !== undefined) return known;
    const stream = { header: Buffer.alloc(0), payloadLeft: 0, isResyncData: false };
    this.streams.set(lane, stream);
    return stream;
  }

  private pass(stream: Stream, available: number): number {
    const bytes = Math.min(stream.payloadLeft, available);
    stream.payloadLeft -= bytes;
    if (!stream.isResyncData) return bytes;
    const passing = Math.min(bytes, this.limitBytes - this.passedBytes);
    this.passedBytes += passing;
    if (this.passedBytes === this.limitBytes) this.onTrip();
    return passing;
  }
}

/** As much of the next frame's header as there is. Answers how much that was. */
function readHeader(stream: Stream, bytes: Buffer): number {
  const part = bytes.subarray(0, HEADER_BYTES - stream.header.length);
  stream.header = Buffer.concat([stream.header, part]);
  if (stream.header.length < HEADER_BYTES) return part.length;
  stream.isResyncData = stream.header.readUInt8(2) === RESYNC_DATA;
  stream.payloadLeft = stream.header.readUInt32BE(8);
  stream.header = Buffer.alloc(0);
  return part.length;
}
