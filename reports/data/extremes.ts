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
