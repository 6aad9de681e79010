// Frames as the wire has them, for tests that speak to a replication port by themselves.

import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { ByteReader } from './nbdClient';

export const CONTROL = 1;
export const DATA = 2;
const HEADER_BYTES = 32;
const FRAME_MAGIC = 0xb1c5;

/** With a right header checksum, whatever else it says. */
export function frame(type: number, payload: Buffer, payloadBytes = payload.length): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(FRAME_MAGIC, 0);
  header.writeUInt8(type, 2);
  header.writeUInt32BE(payloadBytes, 8);
  header.writeUInt32BE(crc32c(header.subarray(0, 28)), 28);
  return Buffer.concat([header, payload]);
}

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

/** One control frame's JSON; rejects when the connection ends before. */
export async function readControl(socket: Socket): Promise<Record<string, unknown>> {
  const reader = new ByteReader(socket);
  const header = await reader.read(HEADER_BYTES);
  const payload = await reader.read(header.readUInt32BE(8));
  return JSON.parse(payload.toString()) as Record<string, unknown>;
}

export function writeControl(socket: Socket, json: Record<string, unknown>): void {
  socket.write(frame(CONTROL, Buffer.from(JSON.stringify(json))));
}

export async function dialPort(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  return socket;
}

/** A replication port of the test's own. `onConnection` is called for each that dials it. */
export async function listenOn(
  port: number,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  const server = createServer(onConnection);
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
