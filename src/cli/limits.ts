/**
 * The limits of the command line: deadlines, intervals and widths.
 */

/** Connecting to the bus: a host that boots, and brings up every resource at once, is slow. */
export const CONNECT_DEADLINE_MS = 60_000;
/** Asking the bus something. */
export const BUS_DEADLINE_MS = 10_000;
/** Reading state from the service. */
export const READ_DEADLINE_MS = 10_000;
/** A command, while the service answers: beyond what the longest handlers of all may take. */
export const COMMAND_DEADLINE_MS = 4 * 3_600_000;
/** How often a command that waits looks whether the service answers. */
export const ALIVE_INTERVAL_MS = 4000;
/** A peer that is there is connected within this time after `up`. */
export const SETTLE_MS = 1500;
/** How often progress is read and shown: on a terminal, and as plain lines. */
export const PROGRESS_INTERVAL_MS = 400;
export const PROGRESS_LINE_MS = 3000;
/** Characters of a progress bar: beside a peer, and on a line of its own. */
export const SMALL_BAR_WIDTH = 12;
export const BAR_WIDTH = 30;
/** Reads of a job that fail one after another before the service counts as gone. */
export const MAX_FAILED_READS = 3;
/** Of a metadata dump. */
export const DUMP_LINES_AT_ONCE = 4096;
