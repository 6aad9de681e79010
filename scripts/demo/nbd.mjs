// A small NBD client over a unix socket (fixed newstyle, simple replies), by which the demo
// writes and reads. It knows of each write whether it was acknowledged.

import { once } from 'node:events';
import { connect } from 'node:net';

const OPTION_MAGIC = 0x49484156454f5054n;
const OPTION_GO = 7;
const REPLY_ACK = 1;
const REPLY_INFO = 3;
const INFO_REPLY_HEADER_BYTES = 20;
const GREETING_BYTES = 18;
const REQUEST_MAGIC = 0x25609513;
const READ = 0;
const WRITE = 1;

/** Bytes of a socket, a given number at a time. */
class ByteReader {
  constructor(socket) {
    this.bytes = Buffer.alloc(0);
    this.ended = false;
    this.wake = () => undefined;
    socket.on('data', (chunk) => {
      this.bytes = this.bytes.length === 0 ? chunk : Buffer.concat([this.bytes, chunk]);
      this.wake();
    });
    socket.on('error', () => socket.destroy());
    socket.on('close', () => {
      this.ended = true;
      this.wake();
    });
  }

  async read(length) {
    while (this.bytes.length < length) {
      if (this.ended) throw new Error('the connection has ended');
      await new Promise((resolve) => {
        this.wake = resolve;
      });
    }
    const wanted = this.bytes.subarray(0, length);
    this.bytes = this.bytes.subarray(length);
    return wanted;
  }
}

export class NbdClient {
  static async open(path) {
    const socket = connect(path);
    await once(socket, 'connect');
    const reader = new ByteReader(socket);
    const sizeBytes = await negotiate(socket, reader);
    return new NbdClient(socket, reader, sizeBytes);
  }

  constructor(socket, reader, sizeBytes) {
    this.socket = socket;
    this.reader = reader;
    this.sizeBytes = sizeBytes;
    this.lastHandle = 0n;
    this.waiting = new Map();
    this.receive();
  }

  read(offset, length) {
    return this.request(READ, offset, length, undefined);
  }

  /** Resolves when the write is acknowledged. */
  write(offset, data) {
    return this.request(WRITE, offset, data.length, data);
  }

  close() {
    this.socket.destroy();
  }

  request(command, offset, length, data) {
    const handle = ++this.lastHandle;
    const header = Buffer.alloc(28);
    header.writeUInt32BE(REQUEST_MAGIC, 0);
    header.writeUInt16BE(command, 6);
    header.writeBigUInt64BE(handle, 8);
    header.writeBigUInt64BE(BigInt(offset), 16);
    header.writeUInt32BE(length, 24);
    return new Promise((resolve, reject) => {
      if (this.socket.destroyed) {
        reject(new Error('the connection has ended'));
        return;
      }
      this.waiting.set(handle, { length: command === READ ? length : 0, resolve, reject });
      this.socket.write(data === undefined ? header : Buffer.concat([header, data]));
    });
  }

  async receive() {
    try {
      for (;;) {
        const header = await this.reader.read(16);
        const handle = header.readBigUInt64BE(8);
        const error = header.readUInt32BE(4);
        const one = this.waiting.get(handle);
        this.waiting.delete(handle);
        if (error !== 0) one.reject(new Error(`the device answered with error ${error}`));
        else one.resolve(Buffer.from(await this.reader.read(one.length)));
      }
    } catch (error) {
      this.socket.destroy();
      for (const one of this.waiting.values()) one.reject(error);
      this.waiting.clear();
    }
  }
}

async function negotiate(socket, reader) {
  await reader.read(GREETING_BYTES);
  const go = Buffer.alloc(26);
  go.writeUInt32BE(3, 0);
  go.writeBigUInt64BE(OPTION_MAGIC, 4);
  go.writeUInt32BE(OPTION_GO, 12);
  go.writeUInt32BE(6, 16);
  socket.write(go);
  let size = 0;
  for (;;) {
    const header = await reader.read(INFO_REPLY_HEADER_BYTES);
    const type = header.readUInt32BE(12);
    const data = await reader.read(header.readUInt32BE(16));
    if (type === REPLY_ACK) return size;
    if (type !== REPLY_INFO) throw new Error('the NBD export was refused');
    if (data.readUInt16BE(0) === 0) size = Number(data.readBigUInt64BE(2));
  }
}
