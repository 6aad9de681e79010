/**
 * The limits of what runs without the service.
 */

/** How long blkid may take to look at a disk. */
export const BLKID_DEADLINE_MS = 20_000;
export const BLKID_OUTPUT_BYTES = 64 * 1024;
/** Peers that metadata has room for, when nothing else is said. */
export const DEFAULT_MAX_PEERS = 7;
