/**
 * Numbers as the page says them.
 *
 * @module
 */

/**
 * Seconds in words.
 *
 * @example
 * ```ts
 * import { spokenSeconds } from "./spoken.ts";
 * import assert from "node:assert/strict";
 * assert.deepEqual([40, 120, 140].map(spokenSeconds), ["40 s", "2 min", "2 min 20 s"]);
 * ```
 */
export function spokenSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const [minutes, rest] = [Math.floor(whole / 60), whole % 60];
  return rest === 0 ? `${minutes} min` : `${minutes} min ${rest} s`;
}
