/**
 * The limits of the configuration: sizes of files, numbers of things, ranges of options.
 */

export const MAX_FILE_BYTES = 256 * 1024;
export const MAX_RESOURCES = 1024;
export const MAX_PROBLEMS_PER_FILE = 50;

/** Resource and node names, in bytes; the metadata has room for no more. */
export const MAX_NAME_BYTES = 63;
/** A path, in bytes (PATH_MAX without its end). */
export const MAX_PATH_BYTES = 4095;
export const MAX_HOST_BYTES = 253;
export const MIN_NODES = 2;
/** Metadata has 32 slots: this node and 31 peers. */
export const MAX_NODES = 32;

export const MAX_PORT = 65_535;
export const MIN_TIMEOUT_MS = 100;
export const MAX_TIMEOUT_MS = 600_000;
export const MAX_HANDLER_TIMEOUT_MS = 3_600_000;
/** How long `up --wait` waits for peers, in seconds. */
export const MAX_WAIT_FOR_PEERS_SECONDS = 3600;
export const MIN_SOCKET_BUFFER_BYTES = 1024;
export const MAX_SOCKET_BUFFER_BYTES = 268_435_456;
/** As DRBD's: slower, a resync would hardly end. */
export const MIN_RESYNC_CEILING_KIB = 250;
/** 4 GiB a second. */
export const MAX_RESYNC_KIB = 4_194_304;
/** 4 MiB each: 64 TiB. */
export const MAX_AL_EXTENTS = 16_777_216;
