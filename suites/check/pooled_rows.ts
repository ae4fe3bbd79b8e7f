/**
 * Pooled rows, from the inputs on the device.
 *
 * @module
 */
import { readRows, type Tensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { SharedArrays } from "./shared_arrays.ts";
import { eachRow } from "./stream.ts";

/** Rows `first … end - 1`. */
export interface Window {
  readonly first: number;
  readonly end: number;
}

/** Sums or means of windows of rows of one head, exactly and as stored: `[windows, dim]`. */
export async function poolRows(
  gpu: Gpu,
  tensor: Tensor,
  options: { head: number; windows: readonly Window[]; mean: boolean; signal?: AbortSignal },
): Promise<{ exact: Float64Array; stored: Float32Array }> {
  const { head, windows, mean, signal } = options;
  const { dim, dtype } = tensor;
  const first = Math.min(...windows.map((window) => window.first));
  const end = Math.max(...windows.map((window) => window.end));
  using shared = new SharedArrays();
  const base = shared.copy(await readRows(gpu, tensor, { head, first, count: end - first }));
  const starts = Int32Array.from(windows, (window) => window.first - first);
  const ends = Int32Array.from(windows, (window) => window.end - first);
  const slice = (from: number, to: number) => ({
    base,
    dim,
    starts: starts.slice(from, to),
    ends: ends.slice(from, to),
    mean,
    dtype,
  });
  return await eachRow("sumWindows", windows.length, { slice, signal });
}
