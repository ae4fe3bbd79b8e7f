/**
 * The result of one check, and the line that reports it.
 *
 * @module
 */

import type { AttentionShape } from "../../kernels/implementation.ts";

/** Result of one check. */
export interface VerifyCheck {
  /** What was checked, for example `dense f16 d=64 N=141 H=2`. */
  readonly name: string;
  /** A check that could not run is skipped; its detail gives the reason. */
  readonly status: "passed" | "failed" | "skipped";
  /**
   * Error and tolerance of the element that came closest to its tolerance, if elements are
   * compared.
   */
  readonly error?: number;
  /** The largest difference at that element that rounding explains. */
  readonly tolerance?: number;
  /** The finding, or the reason for none: one phrase. */
  readonly detail?: string;
}

/** `f16 d=64 N=141 H=2`: how names of checks describe a shape. */
export function describeShape({ heads, kvHeads, context, headDim, dtype }: AttentionShape): string {
  const keys = kvHeads === undefined ? "" : ` Hkv=${kvHeads}`;
  return `${dtype} d=${headDim} N=${context} H=${heads}${keys}`;
}

/** Elements to compare, each with its own tolerance. */
export interface Comparison {
  readonly got: ArrayLike<number>;
  readonly want: ArrayLike<number>;
  readonly tolerance: ArrayLike<number>;
}

/** Judges comparisons together: they pass if no element exceeds its tolerance. */
export function judge(
  name: string,
  comparisons: readonly Comparison[],
  detail?: string,
): VerifyCheck {
  let worst = { ratio: -1, error: 0, tolerance: 0 };
  for (const { got, want, tolerance } of comparisons) {
    for (let i = 0; i < want.length; i++) {
      const error = Math.abs(got[i] - want[i]);
      const exact = error === 0 ? 0 : error / tolerance[i];
      const ratio = Number.isNaN(exact) ? Infinity : exact;
      if (ratio > worst.ratio) worst = { ratio, error, tolerance: tolerance[i] };
    }
  }
  const { error, tolerance } = worst;
  return { name, status: worst.ratio <= 1 ? "passed" : "failed", error, tolerance, detail };
}

/** A check that compares bits, not numbers. */
export function exact(name: string, passed: boolean, detail: string): VerifyCheck {
  return { name, status: passed ? "passed" : "failed", detail };
}

/** A check that could not run. */
export function skipped(name: string, reason: string): VerifyCheck {
  return { name, status: "skipped", detail: reason };
}

/**
 * One line for a terminal.
 *
 * @example
 * ```ts
 * import { formatCheck } from "./check_line.ts";
 * import assert from "node:assert/strict";
 * assert.equal(
 *   formatCheck({ name: "dense", status: "passed", error: 1e-4, tolerance: 4e-4 }),
 *   "ok      dense: error 1.00e-4, tolerance 4.00e-4",
 * );
 * ```
 */
export function formatCheck(check: VerifyCheck): string {
  const word = { passed: "ok", failed: "FAILED", skipped: "skipped" }[check.status];
  const numbers = check.error === undefined
    ? []
    : [`error ${number(check.error)}, tolerance ${number(check.tolerance!)}`];
  const text = [...numbers, ...check.detail ? [check.detail] : []].join("; ");
  return `${word.padEnd(7)} ${check.name}${text && ": "}${text}`;
}

function number(value: number): string {
  return value === 0 || !Number.isFinite(value) ? String(value) : value.toExponential(2);
}
