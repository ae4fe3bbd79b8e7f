/**
 * Lengths of an execution from which on it is measured in another way; the budget plans by the same.
 *
 * @module
 */

/** An execution this long has warmed itself up: it counts as a sample. */
export const OWN_WARM_UP_SECONDS = 5;

/** From this length on, samples tell the stages apart, and passes of their own would add nothing. */
export const STAGED_SECONDS = 0.25;

/** Longest predicted submission, the timer's default: longer executions are several. */
export const SUBMISSION_SECONDS = 0.25;

/**
 * Longest dispatch: just below the longest submission. Shorter ones leave a large device idle at
 * their ends: at 512K tokens one workgroup of dense attention takes tens of milliseconds.
 */
export const DISPATCH_SECONDS = 0.24;
