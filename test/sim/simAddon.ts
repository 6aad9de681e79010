/**
 * The test-only addon as TypeScript sees it (native/sim): a world of simulated nodes whose engines
 * are the real ones, with virtual time, disks, network, clients and faults.
 *
 * - One world a process. The same seed and the same calls give the same events, to the microsecond.
 * - Nothing happens between two calls of run(). Callbacks of devices and lobbies are called inside
 *   it, just before it returns 'event'; let microtasks drain before the next run().
 * - Times are microseconds of virtual time, sizes and offsets bytes, as numbers (below 2^53).
 * - Paths of disks and sockets are a node's own: nothing of the host's file system is touched.
 * - Where data are not what they must be, a violation is kept (violation()) and run() returns
 *   'violation'. A failed assertion prints `seed N: assertion failed: file:line` and aborts.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Addon } from '../../src/plane/addon';

/**
 * 'event': callbacks were called, or clients have asked for all that they may (allow()). 'time':
 * `untilUs` is reached. 'idle': nothing is left that could ever happen by itself; the clock stands
 * at `untilUs` all the same. 'violation': see violation().
 */
export type RunEnd = 'event' | 'time' | 'idle' | 'violation';

export interface WorldOptions {
  /** One way, between nodes; default 20 to 120. */
  readonly latencyUs?: readonly [number, number];
  /** Keeps a trace from the start (traceText()); default false. */
  readonly trace?: boolean;
}

/** What a disk does; absent members stay as they are. Rates are per million operations. */
export interface DiskBehaviour {
  readonly latencyUs?: readonly [number, number];
  /** Added to the latency of a flush. */
  readonly flushUs?: number;
  readonly readErrorRate?: number;
  readonly writeErrorRate?: number;
  readonly flushErrorRate?: number;
  /** Only operations that touch this range of the disk may fail; [begin, end). Flushes always. */
  readonly errorRange?: readonly [number, number];
  /** Errno's name of the errors: EIO (default), ENOSPC, … */
  readonly errorCode?: string;
  /** Operations are taken and not answered until this is false again. */
  readonly hang?: boolean;
}

export type MetadataArea = 'superblock0' | 'superblock1' | 'activityLog' | 'bitmap';
/**
 * 'flip': one bit in one page; 'tear': a part of a page's sectors gets older or random contents;
 * 'zero': a page of zeroes; 'misdirect': a valid page of the same area at a wrong place.
 */
export type Damage = 'flip' | 'tear' | 'zero' | 'misdirect';

/** One machine. Its disks outlive crashes. */
export interface SimNode {
  readonly name: string;
  /**
   * Starts a new life and gives its addon: what nativePlane's openNativePlane() takes. An addon of
   * an earlier life is void: its objects call nothing back and do nothing, its promises stay
   * pending. `throws` while a life is on.
   */
  boot(): Addon;
  readonly running: boolean;
  /** The file or device `path` of this node. `blockBytes`: 512 or 4096. Contents: zeroes. */
  addDisk(path: string, sizeBytes: number, blockBytes: number): void;
  /**
   * 'process': killed; the kernel closes its sockets, its disk writes in flight still end, wholly
   * or in part. 'power': writes not flushed are kept or lost by sector, writes in flight are torn;
   * peers hear nothing, ever (a reset when the node is up again and they send).
   */
  crash(how: 'process' | 'power'): void;
  /** SIGSTOP: nothing of the process runs, timers included; the kernel and the disks go on. */
  pause(): void;
  /** SIGCONT. */
  resume(): void;
  setDisk(path: string, behaviour: DiskBehaviour): void;
  /** Back to a healthy disk; what hung is answered. */
  healDisk(path: string): void;
  /** Damages one page; false when there was nothing to damage there (no metadata, area empty). */
  damageMetadata(path: string, area: MetadataArea, how: Damage): boolean;
  /** Keeps the disk's contents as they are on the medium; answers an id. */
  snapshotDisk(path: string): number;
  /** Puts a snapshot back, as an administrator who restores one. Nothing may have it attached. */
  restoreDisk(path: string, snapshot: number): void;
  /** Whether a client could connect now. */
  accepts(socketPath: string): boolean;
}

export interface ClientHabits {
  /** Requests in flight, at most; default 4. */
  readonly depth?: number;
  /** Between an answer and the next request, at most; default 500. */
  readonly pauseUs?: number;
  /** Requests up to largeBytes; default one in 80 and 1 MiB. */
  readonly largeOneIn?: number;
  readonly largeBytes?: number;
  /** Most requests go to the device's first bytes; default 0: everywhere. */
  readonly hotBytes?: number;
  /** A little in every extent; default false. */
  readonly wide?: boolean;
  /** Takes its answers late; default false. */
  readonly slow?: boolean;
  /** Requests are multiples of it; default 512. */
  readonly blockBytes?: 512 | 4096;
  /** Percentages; the rest are writes. Default 32, 3, 15. */
  readonly readPercent?: number;
  readonly flushPercent?: number;
  readonly zeroPercent?: number;
}

export interface ClientCounters {
  readonly answers: number;
  readonly errors: number;
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
}

/**
 * A client of the NBD socket with random requests. Every answer is checked against the branch of
 * the model it was connected with.
 */
export interface SimClient {
  /** Ends an older connection. False when nobody listens there. */
  connect(node: SimNode, socketPath: string, branch: Branch): boolean;
  /** Begins (or goes on) to ask. */
  start(): void;
  /** Asks nothing more; what is in flight is still answered. */
  stop(): void;
  /** Dies with everything it asked for: those requests may be done, in part or not at all. */
  drop(): void;
  readonly connected: boolean;
  /** Nothing in flight. */
  readonly idle: boolean;
  readonly counters: ClientCounters;
  /** Error answers are violations unless this is true (default false). */
  allowErrors(allowed: boolean): void;
}

/** One history of the device's contents; see SimModel. */
export type Branch = number;

/** What a copy must hold, by rule 6: nothing else is acknowledged under a generation it shares. */
export interface HeldBefore {
  /**
   * The copy's currentUuid. Every write acknowledged while the Primary's durable currentUuid was
   * this one, or one that came before it on the branch, is there, or a later one of the branch.
   * One that the branch has not seen is newer than all of them.
   */
  readonly uuid: bigint;
  /** Its node lost power since: then that holds only for what was flushed under those. */
  readonly powerLost: boolean;
  /**
   * Protocols A and B: of the last generation it holds what there was at some moment (without
   * powerLost), and all of those before; default false.
   */
  readonly lagging?: boolean;
}

/**
 * What the device may contain, block by block of 512 bytes. Branch 0 is there from setDevice() on.
 * Only writes of clients connected with a branch count for it.
 *
 * A branch knows for every block the versions that may be read: the last acknowledged writes, those
 * in flight, those whose fate is unknown. What was overwritten is remembered until settle(), with
 * the currentUuid that was durable on the client's node at the acknowledgement that ended it.
 */
export interface SimModel {
  /** Size of the replicated device, before the first client. */
  setDevice(sizeBytes: number): void;
  /**
   * All copies that the branch lives on lost their power: what no acknowledged flush (nor FUA)
   * covers may be there or not.
   */
  losePower(branch: Branch): void;
  /**
   * The branch goes on on a copy that was receiving in protocol A or B when the Primary was lost:
   * that copy may lack the last acknowledged writes, but only from some moment on (epochs are
   * applied in order). Finds that moment in the copy, checks everything against it, and makes the
   * copy's contents the branch's. `powerLost`: of the copy's own node too; then only what was
   * durable there is certain, and no order. Answers what is wrong, or ''.
   */
  failOver(branch: Branch, node: SimNode, path: string, powerLost: boolean): string;
  /** Everything acknowledged has reached every copy and is durable there: forget what was. */
  settle(branch: Branch): void;
  /**
   * A new history begins with this copy's contents as they are (a copy is promoted without the
   * other one). With `held` it is checked first that they are what the copy must hold, else they
   * may be anything (by force); a violation otherwise. Call it between the end of promote and the
   * first client; answers the new branch, which knows the old one's generations. What no
   * acknowledged flush covered stays so: what is older may come back when this copy's node loses
   * power and the branch is forked again (`powerLost`).
   */
  fork(branch: Branch, node: SimNode, path: string, held?: HeldBefore): Branch;
  /**
   * Another copy goes along on the branch, which was just forked from `from`. Where the two copies
   * differ by a write of unknown fate (it was answered with an error), both may be read until the
   * block is written again. Answers what is wrong, or ''.
   */
  admit(branch: Branch, from: Branch, node: SimNode, path: string): string;
  /** Something was acknowledged under this currentUuid, on the branch or before it began. */
  knows(branch: Branch, uuid: bigint): boolean;
  /**
   * Acknowledged writes and zeroes of the branch since the fork whose Primary had a currentUuid
   * that came after `uuid` on the branch; 0 when `uuid` is none of them (then it is newer).
   */
  acknowledgedAfter(branch: Branch, uuid: bigint): number;
  /** The branch is discarded with its copies; its clients must be dropped. */
  discard(branch: Branch): void;
  /** A branch as it is now, to go back to with `restore` (a snapshot restored on purpose). */
  save(branch: Branch): number;
  restore(branch: Branch, saved: number): void;
  /** Whole device of this copy against the branch: '' or what is wrong. Nothing is in flight. */
  checkCopy(branch: Branch, node: SimNode, path: string): string;
  /** The first difference of both devices in words, or ''. */
  compareCopies(a: SimNode, aPath: string, b: SimNode, bPath: string): string;
  /** Of a branch since its fork: writes acknowledged, not known to be durable, in flight. */
  facts(branch: Branch): {
    readonly acknowledged: number;
    readonly unflushed: number;
    readonly inFlight: number;
  };
}

/**
 * How often each fault really hit something, by name: tornWrite, lostSector, readError, writeError,
 * flushError, heldOperation, crashProcess, crashPower, pause, reset, heldSegment, refusedDial,
 * damagedPage, restoredDisk. Only names that are above 0.
 */
export type FaultCounters = Readonly<Record<string, number>>;

export interface SimWorld {
  readonly model: SimModel;
  nowUs(): number;
  run(untilUs: number): RunEnd;
  /** '' or the first violation, in words. */
  violation(): string;
  /** `addresses`: numeric, by which others dial it; it listens on these, 0.0.0.0 and ::. */
  addNode(name: string, addresses: readonly string[]): SimNode;
  addClient(habits?: ClientHabits): SimClient;
  /** One way, of segments sent from now on; both nodes need not be up. */
  setLatency(from: SimNode, to: SimNode, minimumUs: number, maximumUs: number): void;
  /**
   * One way: while cut nothing sent by `from` (data, ends, resets) reaches `to`; it arrives when
   * the cut ends. A dial needs both ways: it waits, at most its timeoutMs (ETIMEDOUT).
   */
  setCut(from: SimNode, to: SimNode, cut: boolean): void;
  /** Dials from `from` to `to` are refused at once (ECONNREFUSED), as by a firewall. */
  setRefusing(from: SimNode, to: SimNode, refusing: boolean): void;
  /** Connections between both end with ECONNRESET on both sides; answers how many. */
  resetConnections(a: SimNode, b: SimNode): number;
  /** A random number of the world's own, from 0 to 2^32-1. */
  random(): number;
  faults(): FaultCounters;
  /** Of the trace so far (empty unless options.trace): one line an event. */
  traceText(): string;
  /** Of everything delivered so far, whether traced or not: equal for equal runs. */
  traceHash(): bigint;
  /** Client operations answered so far. */
  operations(): number;
  /** All clients together may ask for so many requests from now on; without it, for any number. */
  allow(operations: number): void;
  /** What is left of that. */
  allowed(): number;
  /** Ends everything without asking anybody. Call it last; nothing else may follow. */
  close(): void;
}

export interface SimAddon {
  readonly World: new (seed: bigint, options?: WorldOptions) => SimWorld;
}

const ADDON_PATH = join(__dirname, '..', '..', 'native', 'build', 'Release', 'blkmirror_sim.node');

/** Built by `npm run build:sim`; BLKMIRROR_SIM_ADDON names another one (a mutant's). */
export function loadSimAddon(): SimAddon {
  return createRequire(__filename)(process.env['BLKMIRROR_SIM_ADDON'] ?? ADDON_PATH) as SimAddon;
}
