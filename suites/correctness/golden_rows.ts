/**
 * Golden rows of a layer's results.
 *
 * @module
 */
import type { Golden, GoldenArray } from "../check/golden.ts";
import { type Elements, headOf } from "./layer_run.ts";

/** Elements of the golden rows of one head of a tensor `[heads, N, dim]`. */
export function pickRows(
  data: Elements,
  { rows, head, heads }: { rows: readonly number[]; head: number; heads: number },
  dim: number,
): Float64Array {
  const own = headOf(data, { head, heads });
  return Float64Array.from(rows.flatMap((row) => [...own.subarray(row * dim, (row + 1) * dim)]));
}

/** The numbers of a golden array. */
export function readArray(golden: Golden, { file, shape }: GoldenArray): Promise<Float32Array> {
  return golden.readFloats(file, shape.reduce((product, size) => product * size));
}

/** Golden numbers are float64 rounded to f32. */
export function withRounding(tolerance: ArrayLike<number>, want: Float32Array): Float64Array {
  return Float64Array.from(tolerance, (x, i) => x + 2 ** -24 * Math.abs(want[i]));
}
