/**
 * Durations of an execution at which the way of measuring changes; the budget uses the same values.
 *
 * @module
 */

/** An execution this long has warmed itself up: it counts as a sample. */
export const OWN_WARM_UP_SECONDS = 5;

/** From this duration on, samples separate the stages, so separate passes would add nothing. */
export const STAGED_SECONDS = 0.25;

/** Longest predicted submission, the timer's default: longer executions are split into several. */
export const SUBMISSION_SECONDS = 0.25;

/**
 * Longest dispatch: just below the longest submission. Shorter ones leave a large device idle at
 * their ends: at 512K tokens one workgroup of dense attention takes tens of milliseconds.
 */
export const DISPATCH_SECONDS = 0.24;
