/**
 * Minimum and maximum of many values: as arguments of `Math.max`, a hundred thousand overflow
 * the stack.
 *
 * @module
 */

/**
 * The maximum; -Infinity for an empty list.
 *
 * @example
 * ```ts
 * import { largest } from "./extremes.ts";
 * import assert from "node:assert/strict";
 * assert.equal(largest(new Array(1e6).fill(0).concat(7)), 7);
 * ```
 */
export function largest(values: readonly number[]): number {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}

/** The minimum; Infinity for an empty list. */
export function smallest(values: readonly number[]): number {
  return values.reduce((least, value) => Math.min(least, value), Infinity);
}

/** Up to `most` of a list: both ends, and the rest spread evenly. */
export function spreadOut<T>(values: readonly T[], most: number): T[] {
  if (values.length <= most) return [...values];
  return Array.from(
    { length: most },
    (_, i) => values[Math.round(i * (values.length - 1) / (most - 1))],
  );
}
