/**
 * The limits of the service: jobs, restoring, deadlines.
 */

/** How long a job stays readable after its end. */
export const JOB_KEEP_MS = 60_000;
/** Jobs kept at once; the oldest ended ones go first. */
export const MAX_JOBS = 256;
/** How often progress is told while something runs. */
export const PROGRESS_TICK_MS = 1000;
/** Commands waiting for another of the same resource. */
export const MAX_WAITING_PER_RESOURCE = 32;
/** Resources brought up at the same time when the service starts. */
export const RESTORE_AT_ONCE = 4;
/** How long closing all devices may take when the service ends. */
export const CLOSE_DEADLINE_MS = 20_000;
/** How long a start waits for a run-dir that a service just killed may still hold. */
export const LOCK_WAIT_MS = 2000;
export const RESOLVE_DEADLINE_MS = 5000;
export const MAX_UP_LIST_BYTES = 1024 * 1024;
/** What is shown of a stranger's text. */
export const MAX_SHOWN_CHARACTERS = 64;

/** A remembered place of the metadata. */
export const MAX_LOCATION_BYTES = 65_536;
