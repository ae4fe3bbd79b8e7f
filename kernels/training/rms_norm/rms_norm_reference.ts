/**
 * RMSNorm and its gradients in float64 with plain loops, and how far an f32 kernel may differ.
 *
 * Tolerances (u = 2^-24): a sum of n terms in any blocked order errs by 4·√n·u·Σ|…|. `r` comes from
 * a quotient, a square root and a quotient of numbers that are all positive, each within 4 units in
 * the last place of f32, and from a sum of squares: 4·√n·u + 24·u of it. Gradients carry the error
 * of r and of the mean, 8·u of every term for products and additions, and one unit of storage.
 *
 * @module
 */
import { storageRounding } from "../../dense_attention/dense_attention_reference.ts";
import type { DType } from "../../gpu/buffers.ts";
import { SMALLEST_NORMAL } from "../../gpu/half.ts";
import { type Judged, type Numbers, UNIT } from "../matrix_product/matrix_product_reference.ts";
import { NORM_EPSILON } from "./rms_norm.ts";

/** Storage that tolerances allow for. */
export interface NormReferenceOptions {
  /** Of y, or of the copy of dx. */
  readonly dtype?: DType;
  readonly epsilon?: number;
  readonly flushes?: boolean;
}

function made(count: number): { values: Float64Array; tolerance: Float64Array } {
  return { values: new Float64Array(count), tolerance: new Float64Array(count) };
}

/** Relative error of r. */
function inverseError(columns: number): number {
  return (4 * Math.sqrt(columns) + 24) * UNIT;
}

/** y `[rows, columns]` and r `[rows]`. */
export function rmsNormReference(
  { x, gain }: { readonly x: Numbers; readonly gain: Numbers },
  { dtype = "f32", epsilon = NORM_EPSILON, flushes }: NormReferenceOptions = {},
): { y: Judged; inverse: Judged } {
  const columns = gain.length;
  const y = made(x.length);
  const inverse = made(x.length / columns);
  for (let row = 0; row < inverse.values.length; row++) {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += x[row * columns + c] ** 2;
    const r = 1 / Math.sqrt(sum / columns + epsilon);
    inverse.values[row] = r;
    inverse.tolerance[row] = inverseError(columns) * r;
    for (let c = 0; c < columns; c++) {
      const value = x[row * columns + c] * r * gain[c];
      y.values[row * columns + c] = value;
      y.tolerance[row * columns + c] = (inverseError(columns) + 4 * UNIT) * Math.abs(value) +
        storageRounding(dtype, value, { flushes });
    }
  }
  return { y, inverse };
}

/** What the gradient needs, `[rows, columns]` each but the gain. */
export interface NormGradientInputs {
  readonly x: Numbers;
  readonly gain: Numbers;
  /** dy. */
  readonly gradient: Numbers;
  /** The gradient that passes by the norm. */
  readonly stream: Numbers;
  /** What dg held before, `[columns]`. Default: zeros. */
  readonly gainGradient?: Numbers;
}

/** dx and dg; `copy` is dx as it is stored for products. */
export function rmsNormBackwardReference(
  { x, gain, gradient, stream, gainGradient }: NormGradientInputs,
  { dtype = "f32", epsilon = NORM_EPSILON, flushes }: NormReferenceOptions = {},
): { stream: Judged; copy: Judged; gainGradient: Judged } {
  const columns = gain.length;
  const rows = x.length / columns;
  const dx = made(x.length);
  const dg = made(columns);
  if (gainGradient) dg.values.set(Float64Array.from(gainGradient));
  const sizes = dg.values.map(Math.abs);
  const relative = inverseError(columns);
  for (let row = 0; row < rows; row++) {
    const at = (c: number) => row * columns + c;
    let squares = 0;
    for (let c = 0; c < columns; c++) squares += x[at(c)] ** 2;
    const r = 1 / Math.sqrt(squares / columns + epsilon);
    let sum = 0;
    let size = 0;
    for (let c = 0; c < columns; c++) {
      const term = gain[c] * gradient[at(c)] * x[at(c)] * r;
      sum += term;
      size += Math.abs(term);
    }
    const mean = sum / columns;
    const meanError = (4 * Math.sqrt(columns) * UNIT + relative + 8 * UNIT) * size / columns;
    for (let c = 0; c < columns; c++) {
      const normed = x[at(c)] * r;
      const [direct, through] = [r * gain[c] * gradient[at(c)], r * normed * mean];
      dx.values[at(c)] = stream[at(c)] + direct - through;
      dx.tolerance[at(c)] = (relative + 8 * UNIT) * (Math.abs(direct) + 2 * Math.abs(through)) +
        r * Math.abs(normed) * meanError + storageRounding("f32", dx.values[at(c)]);
      const term = gradient[at(c)] * normed;
      dg.values[c] += term;
      sizes[c] += Math.abs(term);
    }
  }
  for (let c = 0; c < columns; c++) {
    dg.tolerance[c] = (4 * Math.sqrt(rows + 1) * UNIT + relative + 4 * UNIT) * sizes[c] +
      rows * SMALLEST_NORMAL.f32;
  }
  const copy = {
    values: dx.values,
    tolerance: dx.tolerance.map((error, i) =>
      error + storageRounding(dtype, dx.values[i], { flushes })
    ),
  };
  return { stream: dx, copy, gainGradient: dg };
}
