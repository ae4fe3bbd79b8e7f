/**
 * Runs kernels on a test's device: buffers from numbers, dispatches, numbers back.
 *
 * @module
 */
import assert from "node:assert/strict";
import { submit, upload as uploadBytes } from "../gpu/_test_buffers.ts";
import { type BufferSlice, type Dispatch, type DType, readBuffer } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { pcgSum4 } from "../gpu/random.ts";

/** A buffer that holds these numbers. */
export async function upload(
  gpu: Gpu,
  numbers: ArrayLike<number>,
  dtype: DType | "u32" = "f32",
): Promise<BufferSlice> {
  const padded = Math.ceil(numbers.length / 4) * 4;
  const data = new { f16: Float16Array, f32: Float32Array, u32: Uint32Array }[dtype](padded);
  for (let i = 0; i < numbers.length; i++) data[i] = numbers[i];
  return await uploadBytes(gpu, data);
}

/** The first `count` numbers of a buffer. */
export async function download(
  gpu: Gpu,
  buffer: BufferSlice,
  { count, dtype = "f32" }: { count: number; dtype?: DType | "u32" },
): Promise<Float16Array | Float32Array | Uint32Array> {
  const { buffer: bytes } = await readBuffer(gpu, buffer);
  return new { f16: Float16Array, f32: Float32Array, u32: Uint32Array }[dtype](bytes)
    .subarray(0, count);
}

/** Runs dispatches in order. */
export const run: (gpu: Gpu, dispatches: readonly Dispatch[]) => Promise<void> = submit;

/** Seeded numbers of a standard deviation of `size`, as a storage type holds them. */
export function seeded(
  seed: number,
  count: number,
  { dtype = "f32", size = 1 }: { dtype?: DType; size?: number } = {},
): Float16Array | Float32Array {
  const data = dtype === "f16" ? new Float16Array(count) : new Float32Array(count);
  for (let i = 0; i < count; i++) data[i] = pcgSum4(seed, i) * size / 1.155;
  return data;
}

/** Requires that numbers lie within the tolerance of those expected, and names the worst. */
export function assertClose(
  have: ArrayLike<number>,
  want: { readonly values: ArrayLike<number>; readonly tolerance: ArrayLike<number> },
  name: string,
): void {
  assert.equal(have.length, want.values.length, name);
  let [worst, at] = [0, 0];
  for (let i = 0; i < have.length; i++) {
    const error = Math.abs(have[i] - want.values[i]);
    const ratio = error === 0 ? 0 : error / want.tolerance[i];
    if (ratio <= worst) continue;
    [worst, at] = [Number.isNaN(ratio) ? Infinity : ratio, i];
    if (worst === Infinity) break;
  }
  const [value, expected, tolerance] = [have[at], want.values[at], want.tolerance[at]];
  assert.ok(
    worst <= 1 && !Number.isNaN(have[at]),
    `${name}: element ${at} is ${value}, expected ${expected} within ${tolerance} (${worst} times)`,
  );
}
