/**
 * Per-row values that the backward pass needs besides the tensors, in float64: the log-sum-exp of
 * the logits and delta, the dot product of its output and dO.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { RowSpan } from "../../kernels/implementation.ts";
import { UNIT_ROUNDOFF } from "../../kernels/gpu/half.ts";
import { HALF_ULP } from "./attention_rows.ts";
import { placesOf } from "./row_spans.ts";
import { DEVIATIONS } from "./weighted_sum.ts";

/** Rows `first … first + count - 1`, each tensor `[count, d]`. */
export interface RowChunk {
  readonly first: number;
  readonly count: number;
}

/** What the backward pass needs of a row besides its tensors. */
export interface RowStatistic {
  readonly lse: number;
  /** Σ_c dO_c·O_c. */
  readonly delta: number;
  /** How far the kernel's delta may differ from this one. */
  readonly deltaError: number;
}

/** A row whose log-sum-exp and delta are computed while keys and values are streamed. */
export interface RowStatisticState {
  readonly query: Float64Array;
  readonly outputGradient: Float64Array;
  /** The keys that the row sees. */
  readonly spans: readonly RowSpan[];
  readonly dtype: DType;
  /** Whether the kernel's output comes from weights rounded to f16. */
  readonly halfWeights?: boolean;
  readonly sums: Float64Array;
  max: number;
  total: number;
  /** Σ_j of squares of what a key adds to delta; with `halfWeights` only. */
  shareSquares: number;
}

/**
 * Starts a row before its first key.
 *
 * @param options `spans`: the keys that it sees; `halfWeights`: whether the kernel's output comes
 * from weights rounded to f16.
 */
export function startRowStatistic(
  row: { query: ArrayLike<number>; outputGradient: ArrayLike<number> },
  options: { spans: readonly RowSpan[]; dtype: DType; halfWeights?: boolean },
): RowStatisticState {
  return {
    ...options,
    query: Float64Array.from(row.query),
    outputGradient: Float64Array.from(row.outputGradient),
    sums: new Float64Array(row.query.length),
    max: -Infinity,
    total: 0,
    shareSquares: 0,
  };
}

/** Adds the keys of a chunk that the row sees. Chunks come in ascending order. */
export function takeStatisticKeys(
  row: RowStatisticState,
  chunk: RowChunk & { k: ArrayLike<number>; v: ArrayLike<number> },
): void {
  const { k, v } = chunk;
  const { query, outputGradient, halfWeights, sums, spans } = row;
  let { max, total, shareSquares } = row;
  const dim = query.length;
  const scale = 1 / Math.sqrt(dim);
  for (const j of placesOf(spans, chunk)) {
    const at = j * dim;
    let dot = 0;
    for (let c = 0; c < dim; c++) dot += query[c] * k[at + c];
    const logit = dot * scale;
    if (logit > max) {
      const shrink = Math.exp(max - logit);
      total *= shrink;
      shareSquares *= shrink * shrink;
      for (let c = 0; c < dim; c++) sums[c] *= shrink;
      max = logit;
    }
    const weight = Math.exp(logit - max);
    total += weight;
    for (let c = 0; c < dim; c++) sums[c] += weight * v[at + c];
    if (!halfWeights) continue;
    let share = 0;
    for (let c = 0; c < dim; c++) share += outputGradient[c] * v[at + c];
    shareSquares += (weight * share) ** 2;
  }
  Object.assign(row, { max, total, shareSquares });
}

/** The statistic of a row after its last key. */
export function finishRowStatistic(row: RowStatisticState): RowStatistic {
  const output = row.sums.map((sum) => sum / row.total);
  // The kernel reads the output as stored.
  const statistic = deltaOf(output, row.outputGradient);
  // A rounded weight moves all elements of the output alike, along the value of its key.
  const shares = row.halfWeights ? HALF_ULP.f16 * Math.sqrt(row.shareSquares) / row.total : 0;
  const rounding = Math.hypot(HALF_ULP[row.dtype] * statistic.deviation, shares);
  return {
    lse: row.max + Math.log(row.total),
    delta: statistic.delta,
    deltaError: DEVIATIONS *
      (statistic.deviation * UNIT_ROUNDOFF * Math.sqrt(output.length) + rounding),
  };
}

/** Delta and its error, `[rows]` each, of rows `[rows, d]` from the device's own output. */
export function deviceStatistics(
  { output, outputGradient, dim }: {
    output: Float32Array;
    outputGradient: Float32Array;
    dim: number;
  },
): { delta: Float64Array; deltaError: Float64Array } {
  const rows = output.length / dim;
  const found = { delta: new Float64Array(rows), deltaError: new Float64Array(rows) };
  const rounding = UNIT_ROUNDOFF * Math.sqrt(dim);
  for (let row = 0; row < rows; row++) {
    const rowOf = (data: Float32Array) => data.subarray(row * dim, (row + 1) * dim);
    const { delta, deviation } = deltaOf(rowOf(output), rowOf(outputGradient));
    found.delta[row] = delta;
    found.deltaError[row] = DEVIATIONS * rounding * deviation;
  }
  return found;
}

function deltaOf(output: ArrayLike<number>, gradient: ArrayLike<number>) {
  let delta = 0;
  let squares = 0;
  for (let c = 0; c < output.length; c++) {
    const product = output[c] * gradient[c];
    delta += product;
    squares += product * product;
  }
  return { delta, deviation: Math.sqrt(squares) };
}
