/** What a Primary does about a peer it has lost (DRBD's `fencing`). */
export const FENCING_POLICIES = ['dont-care', 'resource-only', 'resource-and-stonith'] as const;
export type FencingPolicy = (typeof FENCING_POLICIES)[number];
