/**
 * The limits of what runs without the service.
 */

/** How long blkid may take to look at a disk. */
export const BLKID_DEADLINE_MS = 20_000;
export const BLKID_OUTPUT_BYTES = 64 * 1024;
/** Peers that metadata has room for, when nothing else is said. */
export const DEFAULT_MAX_PEERS = 7;
/** As the metadata has room for, and as its layout allows. */
export const MAX_SLOTS = 32;
export const MAX_HISTORY = 32;
export const MAX_DEVICE_BYTES = 1n << 50n;
/** Of a metadata dump. */
export const MAX_DUMP_BYTES = 512 * 1024 * 1024;
/** Of the file that says where metadata was last seen. */
export const MAX_PLACE_BYTES = 64 * 1024;
