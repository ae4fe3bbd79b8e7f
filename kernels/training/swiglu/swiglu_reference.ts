/**
 * SwiGLU's gradient in float64, and how far an f32 kernel may differ: (16 + 4|g|)·u of each result
 * for the exponential (3 + 2|g| units in the last place), quotients of 2.5 units and products; of 1
 * - s as much of s; and one unit of storage.
 *
 * @module
 */
import { storageRounding } from "../../dense_attention/dense_attention_reference.ts";
import type { DType } from "../../gpu/buffers.ts";
import { SMALLEST_NORMAL } from "../../gpu/half.ts";
import {
  type Judged,
  type Numbers,
  siluReference,
  UNIT,
} from "../matrix_product/matrix_product_reference.ts";

/** Gradients of gates and values in turn `[2·count]`, and the activation `[count]`. */
export function swigluBackwardReference(
  gradient: Numbers,
  gateUp: Numbers,
  { dtype = "f32", flushes }: { dtype?: DType; flushes?: boolean } = {},
): { gateUpGradient: Judged; activation: Judged } {
  const made = (length: number) => ({
    values: new Float64Array(length),
    tolerance: new Float64Array(length),
  });
  const [pairs, activation] = [made(gateUp.length), made(gradient.length)];
  const put = (into: Judged, at: number, [value, error]: readonly [number, number]) => {
    into.values[at] = value;
    into.tolerance[at] = error + SMALLEST_NORMAL.f32 + storageRounding(dtype, value, { flushes });
  };
  for (let i = 0; i < gradient.length; i++) {
    const [g, v, da] = [gateUp[2 * i], gateUp[2 * i + 1], gradient[i]];
    const s = 1 / (1 + Math.exp(-g));
    const relative = (16 + 4 * Math.abs(g)) * UNIT;
    const slope = s * (1 + g * (1 - s));
    const slopeError = relative * s * (1 + Math.abs(g) * (1 - s) + Math.abs(g) * s);
    const flushed = SMALLEST_NORMAL.f32 * (1 + Math.abs(g));
    put(pairs, 2 * i, [da * v * slope, Math.abs(da * v) * (slopeError + flushed)]);
    put(pairs, 2 * i + 1, siluReference([g, 0], [da, 0]));
    put(activation, i, siluReference([g, 0], [v, 0]));
  }
  return { gateUpGradient: pairs, activation };
}
