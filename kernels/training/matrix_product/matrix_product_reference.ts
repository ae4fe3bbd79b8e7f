/**
 * Matrix products in float64 with plain loops, and how far an f32 kernel may differ from them.
 *
 * The tolerance is derived, per element, from its own numbers (u = 2^-24):
 *
 * - Summing n products in f32 in any blocked order errs like a random walk: 4·√n·u·Σ|a·b|. Matrix
 *   units may round each sum of 8 products toward zero, by up to 2u, always the same way: n/4·u
 *   more.
 * - What an epilogue computes adds its own roundings: one for an addition, three for a rotation,
 *   and (16 + 4|g|)·u of silu(g)·v for its exponential, division and products.
 * - Storing rounds once, to nearest; one unit in the last place is allowed (`storageRounding`).
 * - Every product may be flushed to zero below 2^-126.
 *
 * @module
 */
import { storageRounding } from "../../dense_attention/dense_attention_reference.ts";
import { SMALLEST_NORMAL } from "../../gpu/half.ts";
import type { HeadLayout, ProductOptions } from "./types.ts";

/** Elements as stored. */
export type Numbers = ArrayLike<number>;

/** Values, and how far a kernel's may be from them. */
export interface Judged {
  /** In float64. */
  readonly values: Float64Array;
  /** Largest difference that f32 arithmetic and storage rounding explain. */
  readonly tolerance: Float64Array;
}

/** Matrices of a product as they are stored. */
export interface ProductReferenceInputs {
  readonly left: Numbers;
  readonly right: Numbers;
  /** `accumulate`: what the result held before; `residual`: what is added. */
  readonly added?: Numbers;
  /** `rope`: cosines and sines, `[N, d/2, 2]`. */
  readonly table?: Numbers;
}

/** What the kernel stores and where it ran. */
export interface ProductReferenceOptions {
  /** Whether matrix units computed the sums. Default false. */
  readonly matrix?: boolean;
  /** Whether the device flushes subnormals of f16 to zero. Default false. */
  readonly flushes?: boolean;
}

/** u, half a unit in the last place of 1. */
export const UNIT = 2 ** -24;

/** Where the element of a token and a feature lies in a matrix of `width` features. */
export function placeOf(
  layout: HeadLayout | undefined,
  { token, feature, width }: { token: number; feature: number; width: number },
): number {
  if (!layout) return token * width + feature;
  const { sequences, heads, context, headDim } = layout;
  const stride = layout.partStride ?? sequences * heads * context * headDim;
  const head = Math.floor(feature / headDim);
  const part = Math.floor(head / heads);
  const sequence = Math.floor(token / context);
  const row = (sequence * heads + head % heads) * context + token % context;
  return part * stride + row * headDim + feature % headDim;
}

/** `silu(g)·v` and how far f32 arithmetic on numbers that are themselves off may be from it. */
export function siluReference(
  [gate, gateError]: readonly [number, number],
  [value, valueError]: readonly [number, number],
): [number, number] {
  const silu = gate / (1 + Math.exp(-gate));
  // The slope of silu is below 1.1 everywhere.
  const error = Math.abs(silu) * valueError + 1.1 * gateError * (Math.abs(value) + valueError) +
    (16 + 4 * Math.abs(gate)) * UNIT * Math.abs(silu * value) +
    // The quotient 1 / (1 + e^-g) may be flushed, before it is multiplied.
    SMALLEST_NORMAL.f32 * (1 + Math.abs(gate)) * Math.abs(value);
  return [silu * value, error];
}

/** The result in its storage order, and `swiglu`'s activation. */
export function productReference(
  options: ProductOptions,
  inputs: ProductReferenceInputs,
  reference: ProductReferenceOptions = {},
): { result: Judged; activation?: Judged } {
  const { form, rows, columns, depth, leftHeads, rightHeads } = options;
  const { matrix = false, flushes } = reference;
  const growth = (4 * Math.sqrt(depth) + (matrix ? depth / 4 : 0)) * UNIT;
  const leftAt = (row: number, k: number) =>
    form === "TN"
      ? placeOf(leftHeads, { token: k, feature: row, width: rows })
      : placeOf(leftHeads, { token: row, feature: k, width: depth });
  const rightAt = (column: number, k: number) =>
    form === "NT"
      ? column * depth + k
      : placeOf(rightHeads, { token: k, feature: column, width: columns });
  const values = new Float64Array(rows * columns);
  const errors = new Float64Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      let sum = 0;
      let size = 0;
      for (let k = 0; k < depth; k++) {
        const product = inputs.left[leftAt(row, k)] * inputs.right[rightAt(column, k)];
        sum += product;
        size += Math.abs(product);
      }
      values[row * columns + column] = sum;
      errors[row * columns + column] = growth * size + depth * SMALLEST_NORMAL.f32;
    }
  }
  return finish(options, { inputs, values, errors, flushes });
}

function finish(
  { rows, columns, dtype, result }: ProductOptions,
  { inputs, values, errors, flushes }: {
    inputs: ProductReferenceInputs;
    values: Float64Array;
    errors: Float64Array;
    flushes?: boolean;
  },
): { result: Judged; activation?: Judged } {
  const stored = result.kind === "store"
    ? result.dtype
    : result.kind === "rope" || result.kind === "swiglu"
    ? dtype
    : "f32";
  const judged: Judged = { values: new Float64Array(values), tolerance: new Float64Array(errors) };
  if (result.kind === "residual" || result.kind === "accumulate") {
    for (let i = 0; i < values.length; i++) {
      judged.values[i] += inputs.added![i];
      judged.tolerance[i] += UNIT * Math.abs(judged.values[i]);
    }
  }
  if (result.kind === "rope") {
    rotate(judged, { columns, layout: result.heads, table: inputs.table! });
  }
  for (let i = 0; i < values.length; i++) {
    judged.tolerance[i] += storageRounding(stored, judged.values[i], { flushes });
  }
  const layout = result.kind === "store" || result.kind === "rope" ? result.heads : undefined;
  const activation = result.kind === "swiglu" ? activate(judged, { dtype, flushes }) : undefined;
  return { result: layout ? byHeads(judged, { rows, columns, layout }) : judged, activation };
}

/** Rotates all parts but the last by position, in place. */
function rotate(
  { values, tolerance }: Judged,
  { columns, layout, table }: { columns: number; layout: HeadLayout; table: Numbers },
): void {
  const { parts, heads, headDim, context } = layout;
  for (let i = 0; i < values.length; i += 2) {
    const [row, column] = [Math.floor(i / columns), i % columns];
    if (column >= (parts - 1) * heads * headDim) continue;
    const turn = (row % context) * headDim + column % headDim;
    const [cos, sin] = [table[turn], table[turn + 1]];
    const [x, y] = [values[i], values[i + 1]];
    const [ex, ey] = [tolerance[i], tolerance[i + 1]];
    values[i] = x * cos - y * sin;
    values[i + 1] = y * cos + x * sin;
    const own = 3 * UNIT * (Math.abs(x) + Math.abs(y));
    tolerance[i] = Math.abs(cos) * ex + Math.abs(sin) * ey + own;
    tolerance[i + 1] = Math.abs(cos) * ey + Math.abs(sin) * ex + own;
  }
}

/** `silu(gate)·value` of columns in turn. */
function activate(
  { values, tolerance }: Judged,
  { dtype, flushes }: { dtype: "f16" | "f32"; flushes?: boolean },
): Judged {
  const made = {
    values: new Float64Array(values.length / 2),
    tolerance: new Float64Array(values.length / 2),
  };
  for (let i = 0; i < made.values.length; i++) {
    const [value, error] = siluReference(
      [values[2 * i], tolerance[2 * i]],
      [values[2 * i + 1], tolerance[2 * i + 1]],
    );
    made.values[i] = value;
    made.tolerance[i] = error + storageRounding(dtype, value, { flushes });
  }
  return made;
}

function byHeads(
  judged: Judged,
  { rows, columns, layout }: { rows: number; columns: number; layout: HeadLayout },
): Judged {
  const { parts, sequences, heads, context, headDim } = layout;
  const each = sequences * heads * context * headDim;
  const length = (parts - 1) * (layout.partStride ?? each) + each;
  const moved = { values: new Float64Array(length), tolerance: new Float64Array(length) };
  for (let token = 0; token < rows; token++) {
    for (let feature = 0; feature < columns; feature++) {
      const at = placeOf(layout, { token, feature, width: columns });
      moved.values[at] = judged.values[token * columns + feature];
      moved.tolerance[at] = judged.tolerance[token * columns + feature];
    }
  }
  return moved;
}
