/**
 * Where this end of a kernel device's connection waits for the next process of the service. The
 * service manager keeps it (systemd/fdStore.ts); without one nothing is kept.
 */

export interface StoredSocket {
  /** The caller's. */
  readonly fd: number;
  /** Received already, and of no request that was begun. */
  readonly unread: Uint8Array;
}

export interface SocketStore {
  /** What the former process left; from here on nobody else has it. undefined: nothing. */
  take(name: string): Promise<StoredSocket | undefined>;
  /** For the next process; the store has copies then. @throws Failed */
  put(name: string, socket: StoredSocket): Promise<void>;
}

export const NO_SOCKET_STORE: SocketStore = {
  take: () => Promise.resolve(undefined),
  put: () => Promise.reject(new Error('there is no service manager that keeps sockets')),
};
