/** The limits of running handlers. (Those of the helper itself are in native/helper/.) */

/** Handlers that run at once; further ones wait for their turn. */
export const MAX_RUNNING = 128;
export const MAX_WAITING = 4096;
/** One message between the daemon and the helper, its head not counted. */
export const MAX_BODY_BYTES = 64 * 1024;
/** How much later than the helper the daemon itself gives a handler up. */
export const GRACE_MS = 5000;
/** Back-off of starting the helper again: first wait, longest wait. */
export const RESTART_FIRST_MS = 100;
export const RESTART_LAST_MS = 10_000;
