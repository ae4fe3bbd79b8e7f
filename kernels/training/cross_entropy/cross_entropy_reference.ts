/**
 * Cross-entropy and its gradient in float64, and how far an f32 kernel may differ (u = 2^-24): an
 * exponential errs by 3 + 2|x| units in the last place of f32, x up to the row's range; the sum of
 * n of them by 4·√n·u more, and joining maxima by an exponential each, log2(n) in a tree and n/1024
 * in a thread of a long row. The logarithm is absolute 2^-21 near 1 and 3 units elsewhere.
 *
 * @module
 */
import { storageRounding } from "../../dense_attention/dense_attention_reference.ts";
import type { DType } from "../../gpu/buffers.ts";
import { SMALLEST_NORMAL } from "../../gpu/half.ts";
import { type Judged, type Numbers, UNIT } from "../matrix_product/matrix_product_reference.ts";

/** Losses `[rows]` and gradients `[rows, vocabulary]` of the sum of losses times `scale`. */
export function crossEntropyReference(
  logits: Numbers,
  targets: Numbers,
  { scale = 1, dtype = "f32", flushes }: { scale?: number; dtype?: DType; flushes?: boolean } = {},
): { losses: Judged; gradient: Judged } {
  const rows = targets.length;
  const vocabulary = logits.length / rows;
  const made = (length: number) => ({
    values: new Float64Array(length),
    tolerance: new Float64Array(length),
  });
  const [losses, gradient] = [made(rows), made(logits.length)];
  for (let row = 0; row < rows; row++) {
    const at = (column: number) => logits[row * vocabulary + column];
    let [most, least] = [-Infinity, Infinity];
    for (let c = 0; c < vocabulary; c++) {
      most = Math.max(most, at(c));
      least = Math.min(least, at(c));
    }
    let sum = 0;
    for (let c = 0; c < vocabulary; c++) sum += Math.exp(at(c) - most);
    const lse = most + Math.log(sum);
    const joins = Math.log2(vocabulary) + vocabulary / 1024;
    const relative = UNIT * (joins * (8 + 4 * (most - least)) + 4 * Math.sqrt(vocabulary));
    losses.values[row] = lse - at(targets[row]);
    losses.tolerance[row] = relative + 2 ** -21 + 8 * UNIT * Math.abs(Math.log(sum)) +
      4 * UNIT * (Math.abs(lse) + Math.abs(at(targets[row])));
    for (let c = 0; c < vocabulary; c++) {
      const weight = Math.exp(at(c) - lse);
      const own = UNIT * (12 + 4 * (most - at(c)));
      const value = (weight - Number(c === targets[row])) * scale;
      const i = row * vocabulary + c;
      gradient.values[i] = value;
      gradient.tolerance[i] = scale * (weight * (relative + own) + UNIT + SMALLEST_NORMAL.f32) +
        storageRounding(dtype, value, { flushes });
    }
  }
  return { losses, gradient };
}
