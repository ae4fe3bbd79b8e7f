/**
 * The gradient of rotary positions in float64, and how far an f32 kernel may differ: three
 * roundings of each of two products, and one unit in the last place of storage.
 *
 * @module
 */
import { storageRounding } from "../../dense_attention/dense_attention_reference.ts";
import type { DType } from "../../gpu/buffers.ts";
import { type Judged, type Numbers, UNIT } from "../matrix_product/matrix_product_reference.ts";

/** Rows `[heads, N, d]` of one part, rotated back by their positions. */
export function ropeBackwardReference(
  gradient: Numbers,
  table: Numbers,
  options: { headDim: number; dtype?: DType; flushes?: boolean },
): Judged {
  const { dtype = "f32", flushes } = options;
  const values = new Float64Array(gradient.length);
  const tolerance = new Float64Array(gradient.length);
  for (let i = 0; i < gradient.length; i += 2) {
    const [cos, sin] = [table[i % table.length], table[i % table.length + 1]];
    const [x, y] = [gradient[i], gradient[i + 1]];
    values[i] = x * cos + y * sin;
    values[i + 1] = y * cos - x * sin;
    for (const j of [i, i + 1]) {
      tolerance[j] = 3 * UNIT * (Math.abs(x) + Math.abs(y)) +
        storageRounding(dtype, values[j], { flushes });
    }
  }
  return { values, tolerance };
}
