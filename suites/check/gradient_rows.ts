/**
 * Gradients of attention for chosen rows in float64, over streams of the other rows, each
 * with a tolerance for a kernel that computes in f32 and rounds once on storing.
 *
 * P_ij = exp(q_i·k_j/√d - lse_i), dS_ij = P_ij·(dO_i·v_j - delta_i), dQ_i = Σ_j dS_ij·k_j/√d,
 * dK_j = Σ_i dS_ij·q_i/√d, dV_j = Σ_i P_ij·dO_i. `row_statistics.ts` has lse and delta,
 * `weighted_sum.ts` the sums and where their tolerances come from.
 *
 * Deliberately independent of the references under `kernels/`: a second implementation.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import { SMALLEST_NORMAL, UNIT_ROUNDOFF } from "../../kernels/gpu/half.ts";
import type { RowSpan } from "../../kernels/implementation.ts";
import { HALF_ULP } from "./attention_rows.ts";
import { placesOf } from "./row_spans.ts";
import type { RowChunk, RowStatistic } from "./row_statistics.ts";
import {
  addTerm,
  type CheckedGradient,
  finishSum,
  startSum,
  type WeightedSum,
} from "./weighted_sum.ts";

/** How much rounding to f16 may change, subnormals included; zero without rounding. */
function halfRounding(value: number, halfProducts: number | undefined): number {
  return halfProducts ? Math.max(HALF_ULP.f16 * Math.abs(value), halfProducts) : 0;
}

/** Squared Euclidean lengths of rows `[rows, d]`. */
export function squaredNorms(
  { rows, dim }: { rows: ArrayLike<number>; dim: number },
): { norms: Float64Array } {
  const norms = new Float64Array(rows.length / dim);
  for (let row = 0; row < norms.length; row++) {
    let squares = 0;
    for (let c = row * dim; c < (row + 1) * dim; c++) squares += rows[c] * rows[c];
    norms[row] = squares;
  }
  return { norms };
}

/** Euclidean lengths of rows: one pass over a chunk serves every row that reads it. */
export function rowLengths(rows: ArrayLike<number>, dim: number): Float64Array {
  return squaredNorms({ rows, dim }).norms.map(Math.sqrt);
}

/** Terms of one pair of a query row and a key row. */
function pairOf(
  at: {
    q: ArrayLike<number>;
    outputGradient: ArrayLike<number>;
    row: number;
    k: ArrayLike<number>;
    v: ArrayLike<number>;
    column: number;
    /** |q|·|k|. */
    scoreSize: number;
    /** |dO|·|v|. */
    productSize: number;
  },
  { statistic, dim, halfProducts }: {
    statistic: RowStatistic;
    dim: number;
    halfProducts?: number;
  },
) {
  const { q, outputGradient, row, k, v, column, scoreSize, productSize } = at;
  let dot = 0;
  let product = 0;
  for (let c = 0; c < dim; c++) {
    dot += q[row + c] * k[column + c];
    product += outputGradient[row + c] * v[column + c];
  }
  const scale = 1 / Math.sqrt(dim);
  const gamma = Math.sqrt(dim) * UNIT_ROUNDOFF;
  const logit = dot * scale;
  const x = logit - statistic.lse;
  const weight = Math.exp(x);
  const independent = gamma * scale * scoreSize + 2 * UNIT_ROUNDOFF * Math.abs(logit);
  // Two units are one in the last place; the log-sum-exp is stored in f32 and changes base.
  const shared = 2 * UNIT_ROUNDOFF * (3 + 2 * Math.abs(x)) +
    4 * UNIT_ROUNDOFF * (1 + Math.abs(statistic.lse));
  const difference = product - statistic.delta;
  const size = Math.abs(difference);
  return {
    weight,
    weightErrors: {
      independent: Math.hypot(weight * independent, halfRounding(weight, halfProducts)),
      shared: weight * shared + SMALLEST_NORMAL.f32,
    },
    scoreGradient: weight * difference,
    scoreGradientErrors: {
      independent: Math.hypot(
        weight * (independent * size + gamma * productSize),
        halfRounding(weight * difference, halfProducts),
      ),
      shared: weight * (shared * size + statistic.deltaError) +
        SMALLEST_NORMAL.f32 * (1 + size + 2 * dim),
    },
  };
}

/** A row whose dQ is computed while keys and values are streamed. */
export interface QueryGradientState {
  readonly query: Float64Array;
  readonly outputGradient: Float64Array;
  /** The keys that the row sees. */
  readonly spans: readonly RowSpan[];
  readonly dtype: DType;
  readonly statistic: RowStatistic;
  readonly halfProducts?: number;
  readonly flushes?: boolean;
  readonly sum: WeightedSum;
}

/**
 * Starts a row before its first key.
 *
 * @param options `spans`: the keys that the row sees; `halfProducts`: half of the smallest step
 * of score gradients that are rounded to f16 before they are multiplied with keys.
 */
export function startQueryGradient(
  row: { query: ArrayLike<number>; outputGradient: ArrayLike<number> },
  options: {
    spans: readonly RowSpan[];
    dtype: DType;
    statistic: RowStatistic;
    halfProducts?: number;
    flushes?: boolean;
  },
): QueryGradientState {
  return {
    ...options,
    query: Float64Array.from(row.query),
    outputGradient: Float64Array.from(row.outputGradient),
    sum: startSum(row.query.length),
  };
}

/** Adds the keys of a chunk that the row sees. */
export function takeQueryKeys(
  state: QueryGradientState,
  chunk: RowChunk & {
    k: ArrayLike<number>;
    v: ArrayLike<number>;
    /** {@linkcode rowLengths} of `k` and of `v`. */
    lengths: { k: ArrayLike<number>; v: ArrayLike<number> };
  },
): void {
  const { query, outputGradient, spans, statistic, halfProducts, sum } = state;
  const { k, v, lengths } = chunk;
  const dim = query.length;
  const [queryLength] = rowLengths(query, dim);
  const [gradientLength] = rowLengths(outputGradient, dim);
  for (const j of placesOf(spans, chunk)) {
    const column = j * dim;
    const scoreSize = queryLength * lengths.k[j];
    const productSize = gradientLength * lengths.v[j];
    const pair = pairOf(
      { q: query, outputGradient, row: 0, k, v, column, scoreSize, productSize },
      { statistic, dim, halfProducts },
    );
    addTerm(sum, pair.scoreGradient, { values: k, at: column, ...pair.scoreGradientErrors });
  }
}

/** dQ of a row after its last key. */
export function finishQueryGradient(
  { query, sum, dtype, flushes }: QueryGradientState,
): CheckedGradient {
  return finishSum(sum, 1 / Math.sqrt(query.length), { dtype, flushes });
}

/** A row whose dK and dV are computed while queries and output gradients are streamed. */
export interface KeyValueGradientState {
  readonly key: Float64Array;
  readonly value: Float64Array;
  /** The queries that see the row. */
  readonly spans: readonly RowSpan[];
  readonly dtype: DType;
  readonly halfProducts?: number;
  readonly flushes?: boolean;
  readonly keySum: WeightedSum;
  readonly valueSum: WeightedSum;
}

/**
 * Starts a row before its first query.
 *
 * @param options `spans`: the queries that see the row; `halfProducts`: half of the smallest
 * step of weights and score gradients that are rounded to f16 before they are multiplied with rows.
 */
export function startKeyValueGradient(
  row: { key: ArrayLike<number>; value: ArrayLike<number> },
  options: {
    spans: readonly RowSpan[];
    dtype: DType;
    halfProducts?: number;
    flushes?: boolean;
  },
): KeyValueGradientState {
  const dim = row.key.length;
  return {
    ...options,
    key: Float64Array.from(row.key),
    value: Float64Array.from(row.value),
    keySum: startSum(dim),
    valueSum: startSum(dim),
  };
}

/** Adds the queries of a chunk that see the row, with the statistics of the chunk's rows. */
export function takePairQueries(
  state: KeyValueGradientState,
  chunk: RowChunk & {
    q: ArrayLike<number>;
    outputGradient: ArrayLike<number>;
    /** {@linkcode rowLengths} of `q` and of `outputGradient`. */
    lengths: { q: ArrayLike<number>; outputGradient: ArrayLike<number> };
    /** {@linkcode RowStatistic}s of the chunk's rows, `[count]` each. */
    statistics: Record<keyof RowStatistic, ArrayLike<number>>;
  },
): void {
  const { key: k, value: v, spans, halfProducts, keySum, valueSum } = state;
  const { q, outputGradient, lengths, statistics } = chunk;
  const dim = k.length;
  const [keyLength] = rowLengths(k, dim);
  const [valueLength] = rowLengths(v, dim);
  for (const i of placesOf(spans, chunk)) {
    const row = i * dim;
    const scoreSize = lengths.q[i] * keyLength;
    const productSize = lengths.outputGradient[i] * valueLength;
    const statistic = {
      lse: statistics.lse[i],
      delta: statistics.delta[i],
      deltaError: statistics.deltaError[i],
    };
    const pair = pairOf(
      { q, outputGradient, row, k, v, column: 0, scoreSize, productSize },
      { statistic, dim, halfProducts },
    );
    addTerm(keySum, pair.scoreGradient, { values: q, at: row, ...pair.scoreGradientErrors });
    addTerm(valueSum, pair.weight, { values: outputGradient, at: row, ...pair.weightErrors });
  }
}

/** dK and dV of a row after its last query. */
export function finishKeyValueGradient(
  { key, dtype, flushes, keySum, valueSum }: KeyValueGradientState,
): { key: CheckedGradient; value: CheckedGradient } {
  return {
    key: finishSum(keySum, 1 / Math.sqrt(key.length), { dtype, flushes }),
    value: finishSum(valueSum, 1, { dtype, flushes }),
  };
}
