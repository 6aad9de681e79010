/**
 * The data plane's counters as they cross from C++: 64-bit words in one array, filled by
 * RawDevice.statistics(). Their order is that of native/bind/js_values.cc:
 * suspended, exposedUuid, heartbeat, readBytes, writtenBytes, writes, metadataWrites, hotExtents,
 * kernelAttached, clients, peers; a process id for each client; PEER_WORDS for each peer, as
 * peerAt() reads them.
 */
import { MAX_CLIENTS, MAX_PEERS } from '../model/limits';
import type { DeviceStatistics, PeerStatistics } from './plane';

const HEAD_WORDS = 11;
const PEER_WORDS = 7;

export function makeCounters(): BigUint64Array {
  return new BigUint64Array(HEAD_WORDS + MAX_CLIENTS + PEER_WORDS * (MAX_PEERS + 1));
}

export function readCounters(words: BigUint64Array): DeviceStatistics {
  const clients = Number(at(words, 9));
  const peers = Number(at(words, 10));
  const firstPeer = HEAD_WORDS + clients;
  return {
    suspended: at(words, 0) !== 0n,
    exposedUuid: at(words, 1),
    heartbeat: at(words, 2),
    readBytes: at(words, 3),
    writtenBytes: at(words, 4),
    writes: at(words, 5),
    metadataWrites: at(words, 6),
    hotExtents: at(words, 7),
    kernelAttached: at(words, 8) !== 0n,
    clientPids: Array.from(words.subarray(HEAD_WORDS, firstPeer), Number),
    peers: Array.from({ length: peers }, (_, index) => peerAt(words, firstPeer, index)),
  };
}

function peerAt(words: BigUint64Array, firstPeer: number, index: number): PeerStatistics {
  const first = firstPeer + PEER_WORDS * index;
  return {
    slot: Number(at(words, first)),
    receiving: at(words, first + 1) !== 0n,
    outOfSyncBytes: at(words, first + 2),
    resyncTotalBytes: at(words, first + 3),
    resyncedBytes: at(words, first + 4),
    sentBytes: at(words, first + 5),
    receivedBytes: at(words, first + 6),
  };
}

function at(words: BigUint64Array, index: number): bigint {
  return words[index] ?? 0n;
}
