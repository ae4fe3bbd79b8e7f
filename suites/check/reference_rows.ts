/**
 * Chosen rows of the kernels' float64 references: the work of one thread for one head.
 *
 * @module
 */
import {
  type DenseBackwardReferenceInputs,
  keyValueGradientRow,
  queryGradientRow,
  type RowStatistics,
} from "../../kernels/dense_attention/dense_attention_backward_reference.ts";
import {
  denseAttentionRow,
  type DenseReferenceInputs,
} from "../../kernels/dense_attention/dense_attention_reference.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";

/** Rows of attention, `[rows, d]` and `[rows]`, with the tolerances of an f32 kernel. */
export interface ReferenceRows {
  readonly output: Float64Array;
  readonly tolerance: Float64Array;
  readonly lse: Float64Array;
  readonly lseTolerance: Float64Array;
}

/** Rows of dQ, dK and dV, `[rows, d]` each. */
export type ReferenceGradients = Record<
  "q" | "k" | "v",
  { readonly gradient: Float64Array; readonly tolerance: Float64Array }
>;

/** Some rows of causal attention. */
export function referenceRows(
  { inputs, rows, ...storage }: {
    inputs: DenseReferenceInputs;
    rows: readonly number[];
    dtype: DType;
    weights: DType;
    flushes?: boolean;
  },
): ReferenceRows {
  const found = rows.map((row) => denseAttentionRow(inputs, row, storage));
  return {
    output: joinRows(found.map(({ output }) => output)),
    tolerance: joinRows(found.map(({ tolerance }) => tolerance)),
    lse: Float64Array.from(found, ({ lse }) => lse),
    lseTolerance: Float64Array.from(found, ({ lseTolerance }) => lseTolerance),
  };
}

/** Some rows of the gradients. */
export function referenceGradients(
  { inputs, statistics, rows, ...storage }: {
    inputs: DenseBackwardReferenceInputs;
    statistics: RowStatistics;
    rows: readonly number[];
    dtype: DType;
    weights: DType;
    gradientType?: DType;
    flushes?: boolean;
  },
): ReferenceGradients {
  const found = rows.map((row) => {
    const { key, value } = keyValueGradientRow(inputs, statistics, { row, ...storage });
    return { q: queryGradientRow(inputs, statistics, { row, ...storage }), k: key, v: value };
  });
  const join = (name: "q" | "k" | "v") => ({
    gradient: joinRows(found.map((row) => row[name].gradient)),
    tolerance: joinRows(found.map((row) => row[name].tolerance)),
  });
  return { q: join("q"), k: join("k"), v: join("v") };
}

function joinRows(rows: readonly Float64Array[]): Float64Array {
  const dim = rows[0]?.length ?? 0;
  const joined = new Float64Array(rows.length * dim);
  rows.forEach((row, i) => joined.set(row, i * dim));
  return joined;
}
