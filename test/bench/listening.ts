// Waits until a server accepts connections.

import { once } from 'node:events';
import { connect } from 'node:net';
import type { NetConnectOpts } from 'node:net';
import { until } from '../support/privateBus';

const DEADLINE_MS = 20_000;

export async function acceptsConnections(address: NetConnectOpts): Promise<void> {
  await until(`${JSON.stringify(address)} accepts connections`, () => tries(address), DEADLINE_MS);
}

async function tries(address: NetConnectOpts): Promise<boolean> {
  const socket = connect(address);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
