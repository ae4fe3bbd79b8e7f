/**
 * Products, norms and layouts in float64 with plain loops, for the model's reference.
 *
 * @module
 */
import type { Model } from "./model_options.ts";

type HeadSizes = Pick<Model, "batch" | "heads" | "context" | "headDim">;

/** Numbers in float64. */
export type Vector = Float64Array;

/** `[rows, depth] · [columns, depth]ᵀ`. */
export function productNT(a: Vector, b: Vector, depth: number): Vector {
  const [rows, columns] = [a.length / depth, b.length / depth];
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += a[i * depth + k] * b[j * depth + k];
      out[i * columns + j] = sum;
    }
  }
  return out;
}

/** `[rows, depth] · [depth, columns]`. */
export function productNN(a: Vector, b: Vector, depth: number): Vector {
  const [rows, columns] = [a.length / depth, b.length / depth];
  const out = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) {
    for (let k = 0; k < depth; k++) {
      const left = a[i * depth + k];
      for (let j = 0; j < columns; j++) out[i * columns + j] += left * b[k * columns + j];
    }
  }
  return out;
}

/** `[depth, rows]ᵀ · [depth, columns]`. */
export function productTN(a: Vector, b: Vector, depth: number): Vector {
  const [rows, columns] = [a.length / depth, b.length / depth];
  const out = new Float64Array(rows * columns);
  for (let k = 0; k < depth; k++) {
    for (let i = 0; i < rows; i++) {
      const left = a[k * rows + i];
      for (let j = 0; j < columns; j++) out[i * columns + j] += left * b[k * columns + j];
    }
  }
  return out;
}

/** `x·r·g` and r of each row. */
export function norm(x: Vector, gain: Vector, epsilon: number): { y: Vector; inverse: Vector } {
  const columns = gain.length;
  const inverse = new Float64Array(x.length / columns);
  const y = new Float64Array(x.length);
  for (let row = 0; row < inverse.length; row++) {
    let sum = 0;
    for (let c = 0; c < columns; c++) sum += x[row * columns + c] ** 2;
    inverse[row] = 1 / Math.sqrt(sum / columns + epsilon);
    for (let c = 0; c < columns; c++) {
      y[row * columns + c] = x[row * columns + c] * inverse[row] * gain[c];
    }
  }
  return { y, inverse };
}

/** Gradients of a norm: adds to dx, returns dg. */
export function normBackward(
  { x, gain, inverse }: { x: Vector; gain: Vector; inverse: Vector },
  dy: Vector,
  dx: Vector,
): Vector {
  const columns = gain.length;
  const dg = new Float64Array(columns);
  for (let row = 0; row < inverse.length; row++) {
    const r = inverse[row];
    let mean = 0;
    for (let c = 0; c < columns; c++) {
      mean += gain[c] * dy[row * columns + c] * x[row * columns + c] * r / columns;
    }
    for (let c = 0; c < columns; c++) {
      const i = row * columns + c;
      dx[i] += r * (gain[c] * dy[i] - x[i] * r * mean);
      dg[c] += dy[i] * x[i] * r;
    }
  }
  return dg;
}

/** One part of `[tokens, width]` as rows of each head, `[batch · heads][N, d]`. */
export function splitHeads(
  { batch, heads, context, headDim }: HeadSizes,
  matrix: Vector,
  { width, part }: { readonly width: number; readonly part: number },
): Vector[] {
  return Array.from({ length: batch * heads }, (_, i) => {
    const [sequence, head] = [Math.floor(i / heads), i % heads];
    const rows = new Float64Array(context * headDim);
    for (let n = 0; n < context; n++) {
      const from = (sequence * context + n) * width + (part * heads + head) * headDim;
      rows.set(matrix.subarray(from, from + headDim), n * headDim);
    }
    return rows;
  });
}

/** Parts `[batch · heads][N, d]` side by side in `[tokens, parts · heads · d]`. */
export function joinHeads(
  { batch, heads, context, headDim }: HeadSizes,
  parts: readonly (readonly Vector[])[],
): Vector {
  const width = parts.length * heads * headDim;
  const matrix = new Float64Array(batch * context * width);
  for (const [part, rows] of parts.entries()) {
    for (const [i, own] of rows.entries()) {
      const [sequence, head] = [Math.floor(i / heads), i % heads];
      for (let n = 0; n < context; n++) {
        const to = (sequence * context + n) * width + (part * heads + head) * headDim;
        matrix.set(own.subarray(n * headDim, (n + 1) * headDim), to);
      }
    }
  }
  return matrix;
}
