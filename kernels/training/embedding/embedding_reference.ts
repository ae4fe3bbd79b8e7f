/**
 * An embedding and its gradient in float64. Of the gradient each of n additions may round by half a
 * unit in the last place of the sum of sizes, as a random walk: 4·√n·u.
 *
 * @module
 */
import { type Judged, type Numbers, UNIT } from "../matrix_product/matrix_product_reference.ts";

/** Rows of the table at the tokens. */
export function embeddingReference(
  tokens: Numbers,
  table: Numbers,
  columns: number,
): Float64Array {
  const x = new Float64Array(tokens.length * columns);
  for (let i = 0; i < x.length; i++) {
    x[i] = table[tokens[Math.floor(i / columns)] * columns + i % columns];
  }
  return x;
}

/** The table's gradient, added to `before` `[vocabulary, columns]`. */
export function embeddingBackwardReference(
  tokens: Numbers,
  gradient: Numbers,
  before: Numbers,
): Judged {
  const columns = gradient.length / tokens.length;
  const values = Float64Array.from(before);
  const sizes = values.map(Math.abs);
  const counts = new Float64Array(before.length / columns);
  for (let row = 0; row < tokens.length; row++) {
    counts[tokens[row]]++;
    for (let c = 0; c < columns; c++) {
      values[tokens[row] * columns + c] += gradient[row * columns + c];
      sizes[tokens[row] * columns + c] += Math.abs(gradient[row * columns + c]);
    }
  }
  const tolerance = sizes.map((size, i) =>
    4 * Math.sqrt(counts[Math.floor(i / columns)] + 1) * UNIT * size
  );
  return { values, tolerance };
}
