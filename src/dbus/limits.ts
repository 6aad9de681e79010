/**
 * The limits of the D-Bus side: calls, names, deadlines, reconnection.
 */

/** Calls being worked on at once; more are refused with LimitsExceeded. */
export const MAX_PENDING_CALLS = 256;
/** Callers whose identity is remembered. */
export const MAX_KNOWN_CALLERS = 1024;
/** Deadline of every call this side makes, and of connecting. */
export const CALL_DEADLINE_MS = 20_000;
/** How long a start waits for the name that a service just killed may still own. */
export const NAME_WAIT_MS = 2000;
/** polkit's answer, without and with a dialog (less than the 120 s the command line waits). */
export const POLKIT_DEADLINE_MS = 20_000;
export const POLKIT_DIALOG_DEADLINE_MS = 100_000;
/** Questions to polkit at once; they never use up MAX_PENDING_CALLS. */
export const MAX_POLKIT_QUESTIONS = 32;
/** Of each question about this service's own end, which waits for it. */
export const JOB_DEADLINE_MS = 2000;
export const MIN_RECONNECT_MS = 200;
export const MAX_RECONNECT_MS = 5000;
/** How long the end of the connection may take to send what was written. */
export const CLOSE_DEADLINE_MS = 500;
/** What is quoted of a caller's text in a message. */
export const MAX_QUOTED_CHARACTERS = 64;
