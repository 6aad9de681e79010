// An NBD client of the tests' own: it says exactly what was acknowledged and when, can vanish in
// the middle of a request, and gives its bytes away to tests that send what no client would.

import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';

const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_GO = 7;
const REPLY_ACK = 1;
const REPLY_INFO = 3;
const REQUEST_MAGIC = 0x25609513;
const REPLY_MAGIC = 0x67446698;
const CONNECT_DEADLINE_MS = 30_000;

export const READ = 0;
export const WRITE = 1;
export const DISCONNECT = 2;
export const FLUSH = 3;
export const TRIM = 4;
export const WRITE_ZEROES = 6;
export const FUA = 1;

/** The server answered with an error number. */
export class NbdError extends Error {
  constructor(readonly errno: number) {
    super(`the server answered with error ${errno}`);
    this.name = 'NbdError';
  }
}

interface Waiting {
  readonly readLength: number;
  readonly resolve: (data: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** Bytes of a socket, a given number at a time. */
export class ByteReader {
  private chunks: Buffer[] = [];
  private available = 0;
  private wanted: (() => void) | undefined;
  private ended = false;

  constructor(socket: Socket) {
    socket.on('data', (chunk: Buffer) => {
      this.chunks.push(chunk);
      this.available += chunk.length;
      this.wanted?.();
    });
    const end = (): void => {
      this.ended = true;
      this.wanted?.();
    };
    socket.on('error', () => socket.destroy());
    socket.on('end', end).on('close', end);
  }

  /** Rejects when the connection ends before. */
  async read(length: number): Promise<Buffer> {
    while (this.available < length) {
      if (this.ended) throw new Error('the connection has ended');
      await new Promise<void>((resolve) => (this.wanted = resolve));
    }
    const all = this.chunks.length === 1 ? this.chunks[0] : Buffer.concat(this.chunks);
    const bytes = all ?? Buffer.alloc(0);
    this.available -= length;
    this.chunks = this.available === 0 ? [] : [bytes.subarray(length)];
    return bytes.subarray(0, length);
  }
}

export class NbdClient {
  private readonly waiting = new Map<bigint, Waiting>();
  private lastHandle = 0n;

  private constructor(
    readonly socket: Socket,
    private readonly reader: ByteReader,
    readonly sizeBytes: number,
  ) {
    void this.receive();
  }

  static async open(path: string, exportName = ''): Promise<NbdClient> {
    const socket = await openSocket(path);
    const reader = new ByteReader(socket);
    const timer = setTimeout(() => socket.destroy(), CONNECT_DEADLINE_MS);
    try {
      const size = await negotiate(socket, reader, exportName);
      return new NbdClient(socket, reader, size);
    } finally {
      clearTimeout(timer);
    }
  }

  read(offset: number, length: number): Promise<Buffer> {
    return this.request(READ, 0, offset, length);
  }

  async write(offset: number, data: Buffer, flags = 0): Promise<void> {
    await this.request(WRITE, flags, offset, data.length, data);
  }

  async flush(): Promise<void> {
    await this.request(FLUSH, 0, 0, 0);
  }

  async trim(offset: number, length: number): Promise<void> {
    await this.request(TRIM, 0, offset, length);
  }

  async writeZeroes(offset: number, length: number): Promise<void> {
    await this.request(WRITE_ZEROES, 0, offset, length);
  }

  /** Any command with any arguments. */
  request(
    command: number,
    flags: number,
    offset: number,
    length: number,
    data?: Buffer,
  ): Promise<Buffer> {
    const handle = ++this.lastHandle;
    const readLength = command === READ ? length : 0;
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) {
        reject(new Error('the connection has ended'));
        return;
      }
      this.waiting.set(handle, { readLength, resolve, reject });
      this.socket.write(encodeRequest(command, flags, handle, offset, length));
      if (data !== undefined) this.socket.write(data);
    });
  }

  /** Politely. */
  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    this.socket.write(encodeRequest(DISCONNECT, 0, 0n, 0, 0));
    this.socket.end();
    await once(this.socket, 'close');
  }

  /** As when the client's process dies. */
  vanish(): void {
    this.socket.destroy();
  }

  private async receive(): Promise<void> {
    try {
      for (;;) await this.receiveReply();
    } catch (error) {
      this.socket.destroy();
      const waiting = [...this.waiting.values()];
      this.waiting.clear();
      const reason = error instanceof Error ? error : new Error(String(error));
      for (const one of waiting) one.reject(reason);
    }
  }

  private async receiveReply(): Promise<void> {
    const header = await this.reader.read(16);
    if (header.readUInt32BE(0) !== REPLY_MAGIC) throw new Error('a reply with a wrong magic');
    const errno = header.readUInt32BE(4);
    const handle = header.readBigUInt64BE(8);
    const one = this.waiting.get(handle);
    if (one === undefined) throw new Error(`a reply to no request: ${handle}`);
    this.waiting.delete(handle);
    if (errno !== 0) {
      one.reject(new NbdError(errno));
      return;
    }
    one.resolve(Buffer.from(await this.reader.read(one.readLength)));
  }
}

export function encodeRequest(
  command: number,
  flags: number,
  handle: bigint,
  offset: number,
  length: number,
): Buffer {
  const header = Buffer.alloc(28);
  header.writeUInt32BE(REQUEST_MAGIC, 0);
  header.writeUInt16BE(flags, 4);
  header.writeUInt16BE(command, 6);
  header.writeBigUInt64BE(handle, 8);
  header.writeBigUInt64BE(BigInt(offset), 16);
  header.writeUInt32BE(length, 24);
  return header;
}

export async function openSocket(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, 'connect');
  return socket;
}

async function negotiate(socket: Socket, reader: ByteReader, name: string): Promise<number> {
  await reader.read(18);
  const option = Buffer.alloc(4 + 16 + 4 + name.length + 2);
  option.writeUInt32BE(3, 0);
  option.writeBigUInt64BE(OPTION_MAGIC, 4);
  option.writeUInt32BE(OPTION_GO, 12);
  option.writeUInt32BE(4 + name.length + 2, 16);
  option.writeUInt32BE(name.length, 20);
  option.write(name, 24, 'latin1');
  socket.write(option);
  let size = -1;
  for (;;) {
    const header = await reader.read(20);
    const type = header.readUInt32BE(12);
    const data = await reader.read(header.readUInt32BE(16));
    if (type === REPLY_ACK) return size;
    if (type !== REPLY_INFO) throw new Error(`the export was refused: ${type.toString(16)}`);
    if (data.readUInt16BE(0) === 0) size = Number(data.readBigUInt64BE(2));
  }
}
