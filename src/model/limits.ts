/**
 * The limits of the control plane: every queue, loop, buffer and retry has one of these.
 * (The data plane's are in native/base/limits.h.)
 */

/** One control frame's JSON, as the data plane allows it. */
export const MAX_CONTROL_BYTES = 64 * 1024;
/** History identifiers of one copy. */
export const MAX_HISTORY_UUIDS = 32;
/** Peers of one resource. */
export const MAX_PEERS = 31;
/** Connections of one NBD socket. */
export const MAX_CLIENTS = 128;
/** Feature names in a hello; further ones are ignored. */
export const MAX_FEATURES = 64;
/** Any name or message in a control frame, characters. */
export const MAX_TEXT_CHARS = 1024;

/** Back-off of reconnection: first wait, longest wait, and how much chance may add to each. */
export const RECONNECT_FIRST_MS = 100;
export const RECONNECT_LAST_MS = 2000;
export const RECONNECT_JITTER = 0.3;

/** Commands of one resource that wait for their turn. */
export const MAX_WAITING_COMMANDS = 16;
/** Events of one data plane that wait for this side; beyond it the oldest links are dropped. */
export const MAX_WAITING_EVENTS = 10_000;
/** New generations that the data plane holds in advance. */
export const SUPPLIED_UUIDS = 8;

/** How long a promotion tries to reach the peers that are not connected when it begins. */
export const SETTLE_MS = 1000;
/** How long a connection that both refuse stays open, for the peer to hear that too. */
export const FAREWELL_MS = 200;
/** After a suspension has ended: when the figures of the data plane say so too. */
export const SUSPENSION_LAG_MS = 300;
/** How long `up` waits for the claim on a disk that an ended process may still hold. */
export const CLAIM_TIMEOUT_MS = 5000;
/** How long a host name may take to resolve. */
export const RESOLVE_TIMEOUT_MS = 5000;

/** Progress of a resync: how often it is looked at, and over how many looks it is averaged. */
export const PROGRESS_INTERVAL_MS = 500;
export const PROGRESS_SAMPLES = 10;
/** How long the data plane may take for a metadata update, or to begin or end serving. */
export const DEVICE_TIMEOUT_MS = 30_000;
/** How long the kernel may take to see that a connection is dead, before a new one is taken. */
export const KERNEL_RECONNECT_MS = 5000;
/** How long what the kernel has asked for may take to be answered when the process ends. */
export const KERNEL_PARK_MS = 3000;
/** A former Primary with a kernel device: how long it waits for its peers, and tries again. */
export const RESUME_ANSWER_MS = 2000;
export const RESUME_RETRY_MS = 10_000;
export const RESUME_LOOK_MS = 20;
/** Control frames and events of one link that wait until it is connected. */
export const MAX_WAITING_FRAMES = 64;
