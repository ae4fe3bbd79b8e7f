/**
 * Weighted sums of rows in float64, with the tolerance of a kernel that computes them in f32 and
 * rounds once on storing.
 *
 * Tolerances (u = 2^-24): a dot product of length d in f32 is off by about √d·u times the product
 * of the two norms; over the many terms of a gradient these roundings are independent, so they add
 * as the root of their squares, and four such deviations are allowed. Errors that all terms share
 * add up linearly: the exponential's 3 + 2|x| units in the last place and the row's own statistics.
 * A sum of n terms adds 4·√n·u of its largest partial sum. Storing may round either way. Below
 * 2^-126 a device may flush each weight and each product to zero.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import { SMALLEST_NORMAL, UNIT_ROUNDOFF } from "../../kernels/gpu/half.ts";
import { storingError } from "./attention_rows.ts";

/** A gradient row and the tolerance of any of its elements. */
export interface CheckedGradient {
  readonly gradient: Float64Array;
  readonly tolerance: number;
}

/** Allowed standard deviations of independent errors. */
export const DEVIATIONS = 4;

/** A weighted sum of rows, and the bounds on how well f32 can compute it. */
export interface WeightedSum {
  readonly sums: Float64Array;
  squares: number;
  independent: number;
  shared: number;
  largest: number;
  partial: number;
  count: number;
}

/** An empty sum. */
export function startSum(dim: number): WeightedSum {
  return {
    sums: new Float64Array(dim),
    squares: 0,
    independent: 0,
    shared: 0,
    largest: 0,
    partial: 0,
    count: 0,
  };
}

/** Adds `weight` times the row of `values` at `at`; errors are absolute, of the weight. */
export function addTerm(
  sum: WeightedSum,
  weight: number,
  term: { values: ArrayLike<number>; at: number; independent: number; shared: number },
): void {
  const { values, at, independent, shared } = term;
  const { sums } = sum;
  let { largest } = sum;
  for (let c = 0; c < sums.length; c++) {
    const value = values[at + c];
    sums[c] += weight * value;
    if (value > largest) largest = value;
    else if (-value > largest) largest = -value;
  }
  sum.largest = largest;
  sum.squares += weight * weight;
  sum.independent += independent * independent;
  sum.shared += shared;
  if (sum.count++ % 64 === 0) watchPartial(sum);
}

function watchPartial(sum: WeightedSum): void {
  for (const value of sum.sums) sum.partial = Math.max(sum.partial, Math.abs(value));
}

/** The sum times a factor, with the tolerance of any of its elements. */
export function finishSum(
  sum: WeightedSum,
  factor: number,
  { dtype, flushes }: { dtype: DType; flushes?: boolean },
): CheckedGradient {
  watchPartial(sum);
  const gradient = sum.sums.map((value) => value * factor);
  const partial = sum.partial + DEVIATIONS * Math.sqrt(sum.squares) * sum.largest;
  const walk = DEVIATIONS * Math.sqrt(sum.count) * UNIT_ROUNDOFF * partial;
  const errors = DEVIATIONS * Math.sqrt(sum.independent) + sum.shared;
  const flushed = sum.count * SMALLEST_NORMAL.f32;
  let most = 0;
  for (const value of gradient) most = Math.max(most, Math.abs(value));
  return {
    gradient,
    tolerance: factor * (errors * sum.largest + walk + flushed) +
      storingError(most, dtype, { flushes }),
  };
}
