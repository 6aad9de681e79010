// Waiting with an end: for promises, for conditions in a guest, for a program that will listen, and
// for what that says.

import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';

/** Rejects when `promise` has not settled in time; `what` says what was waited for. */
export async function within<T>(promise: Promise<T>, deadlineMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const error = new Error(`waited ${deadlineMs} ms for ${what}`);
    timer = setTimeout(() => reject(error), deadlineMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Asks `probe` again until it answers something; what it throws ends the wait. */
export async function eventually<T>(
  what: string,
  probe: () => Promise<T | undefined>,
  deadlineMs = 60_000,
  everyMs = 500,
): Promise<T> {
  const deadline = Date.now() + deadlineMs;
  for (;;) {
    const found = await probe();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`waited ${deadlineMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** A connection to a program that may not listen yet. */
export function connected(path: string, deadlineMs = 20_000): Promise<Socket> {
  const dial = async (): Promise<Socket | undefined> => {
    const socket = connect(path);
    try {
      await once(socket, 'connect');
      return socket.on('error', () => undefined);
    } catch {
      return undefined;
    }
  };
  return eventually(`somebody to listen on ${path}`, dial, deadlineMs, 50);
}

/** What the other end says, until that ends, however it does: a guest is killed in the middle. */
export function eachLine(socket: Socket, onLine: (line: string) => void): void {
  createInterface(socket)
    .on('line', onLine)
    .on('error', () => undefined);
}
