/**
 * The kernels' float64 references of one head, with their rows distributed over the cores. The
 * numbers equal those of `denseAttentionReference` and `denseBackwardReference`, bit for bit.
 *
 * @module
 */
import { rowStatistics } from "../../kernels/dense_attention/dense_attention_backward_reference.ts";
import { denseAttentionRow } from "../../kernels/dense_attention/dense_attention_reference.ts";
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { ReferenceGradients, ReferenceRows } from "../check/reference_rows.ts";
import { countRows, type Visible } from "../check/row_spans.ts";
import { SharedArrays } from "../check/shared_arrays.ts";
import { FEW_PAIRS } from "../check/stream.ts";
import { deal, onCores } from "../check/worker_pool.ts";

/** Q, K and V of one head, `[rows, d]`. */
export type HeadTensors = Record<"q" | "k" | "v", Float64Array>;

/**
 * Causal attention of one head with the tolerances of an f32 kernel.
 *
 * @param options `weights`: the type that softmax weights are rounded to, f16 on matrix units;
 * `flushes`: the device flushes subnormals of f16 to zero.
 */
export async function attentionReference(
  tensors: HeadTensors,
  { headDim, dtype, weights, flushes }: {
    headDim: number;
    dtype: DType;
    weights: DType;
    flushes?: boolean;
  },
): Promise<ReferenceRows> {
  const rows = tensors.q.length / headDim;
  using shared = new SharedArrays();
  const inputs = { ...share(shared, tensors), headDim };
  const slices = deal([...Array(rows).keys()], (row) => row + 1);
  const parts = await onCores(
    "referenceRows",
    slices.map((rows) => ({ inputs, rows, dtype, weights, flushes })),
    { here: rows * rows < FEW_PAIRS },
  );
  const join = (name: keyof ReferenceRows) => joinRows(slices, parts.map((part) => part[name]));
  return {
    output: join("output"),
    tolerance: join("tolerance"),
    lse: join("lse"),
    lseTolerance: join("lseTolerance"),
  };
}

/**
 * Attention of one head whose rows see some of the keys, with the tolerances of an f32 kernel: each
 * row is the last one of a causal sequence of the keys that it sees.
 *
 * @param options as {@linkcode attentionReference} has; `visible`: keys that a row sees; `chosen`:
 * rows to compute, default all.
 */
export function maskedReference(
  tensors: HeadTensors,
  { headDim, visible, chosen, ...storage }: {
    headDim: number;
    visible: Visible;
    chosen?: readonly number[];
    dtype: DType;
    weights: DType;
    flushes?: boolean;
  },
): ReferenceRows {
  const rows = tensors.q.length / headDim;
  const found = (chosen ?? Array.from({ length: rows }, (_, row) => row)).map((row) => {
    const spans = visible(row);
    const pick = (data: Float64Array) =>
      Float64Array.from(
        spans.flatMap(({ first, end }) => [...data.subarray(first * headDim, end * headDim)]),
      );
    const last = countRows(spans) - 1;
    return denseAttentionRow(
      {
        q: tensors.q.subarray(row * headDim, (row + 1) * headDim),
        k: pick(tensors.k),
        v: pick(tensors.v),
        headDim,
      },
      last,
      { ...storage, queryOffset: last },
    );
  });
  return {
    output: Float64Array.from(found.flatMap(({ output }) => [...output])),
    tolerance: Float64Array.from(found.flatMap(({ tolerance }) => [...tolerance])),
    lse: Float64Array.from(found, ({ lse }) => lse),
    lseTolerance: Float64Array.from(found, ({ lseTolerance }) => lseTolerance),
  };
}

/** Causal attention of some sequences, without tolerances. */
export async function attentionOutputs(
  sequences: readonly HeadTensors[],
  { headDim }: { headDim: number },
): Promise<{ output: Float64Array; lse: Float64Array }[]> {
  using shared = new SharedArrays();
  const inputs = sequences.map((tensors) => ({ ...share(shared, tensors), headDim }));
  const few = sequences.every(({ q }) => (q.length / headDim) ** 2 < FEW_PAIRS);
  return await onCores("attendReference", inputs, { here: few });
}

/**
 * Gradients of causal attention of one head with the tolerances of an f32 kernel.
 *
 * @param options `forward`: the result of {@linkcode attentionReference} for the same tensors;
 * `weights` as there.
 */
export async function gradientReference(
  tensors: HeadTensors & { outputGradient: Float64Array },
  options: {
    forward: ReferenceRows;
    headDim: number;
    dtype: DType;
    weights: DType;
    /** Storage of the gradients. Default: `dtype`. */
    gradientType?: DType;
    flushes?: boolean;
  },
): Promise<ReferenceGradients> {
  const { forward, headDim, ...storage } = options;
  const rows = tensors.q.length / headDim;
  const { lse, delta, deltaSize } = rowStatistics({ ...tensors, headDim }, { forward });
  using shared = new SharedArrays();
  const inputs = { ...share(shared, tensors), headDim };
  const statistics = share(shared, { lse, delta, deltaSize });
  const slices = deal([...Array(rows).keys()], () => 1);
  const parts = await onCores(
    "referenceGradients",
    slices.map((rows) => ({ inputs, statistics, rows, ...storage })),
    { here: rows * rows < FEW_PAIRS },
  );
  const join = (name: keyof ReferenceGradients) => ({
    gradient: joinRows(slices, parts.map((part) => part[name].gradient)),
    tolerance: joinRows(slices, parts.map((part) => part[name].tolerance)),
  });
  return { q: join("q"), k: join("k"), v: join("v") };
}

function share<N extends string>(
  shared: SharedArrays,
  tensors: Record<N, Float64Array>,
): Record<N, Float64Array> {
  const entries = Object.entries<Float64Array>(tensors);
  return Object.fromEntries(entries.map(([name, data]) => [name, shared.float64(data)])) as Record<
    N,
    Float64Array
  >;
}

/** Puts the rows of each slice back in their places. */
function joinRows(slices: readonly number[][], parts: readonly Float64Array[]): Float64Array {
  const rows = slices.reduce((sum, slice) => sum + slice.length, 0);
  const dim = parts[0].length / slices[0].length;
  const joined = new Float64Array(rows * dim);
  for (const [s, slice] of slices.entries()) {
    slice.forEach((row, n) => joined.set(parts[s].subarray(n * dim, (n + 1) * dim), row * dim));
  }
  return joined;
}
