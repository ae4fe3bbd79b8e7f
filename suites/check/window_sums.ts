/**
 * Sums and means of windows of rows in float64: the definition of a pooled row.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";

/** Base rows, and the windows over them that are added up. */
export interface RowWindows {
  /** `[rows, dim]`. */
  readonly base: ArrayLike<number>;
  readonly dim: number;
  /** The first row of each window, counted from the first base row. */
  readonly starts: Int32Array;
  /** The row after the last one of each window. */
  readonly ends: Int32Array;
  /** Whether the sums are divided by the number of rows. */
  readonly mean: boolean;
  /** The type that the device stores them in. */
  readonly dtype: DType;
}

/** Sums or means of the rows of each window, first row first, and as stored: `[windows, dim]`. */
export function sumWindows(
  { base, dim, starts, ends, mean, dtype }: RowWindows,
): { exact: Float64Array; stored: Float32Array } {
  const exact = new Float64Array(starts.length * dim);
  const stored = new Float32Array(exact.length);
  const round = dtype === "f16" ? Math.f16round : Math.fround;
  for (let m = 0; m < starts.length; m++) {
    const at = m * dim;
    for (let row = starts[m]; row < ends[m]; row++) {
      for (let c = 0; c < dim; c++) exact[at + c] += base[row * dim + c];
    }
    const count = mean ? ends[m] - starts[m] : 1;
    for (let c = 0; c < dim; c++) stored[at + c] = round(exact[at + c] /= count);
  }
  return { exact, stored };
}
