/**
 * Gradients of attention for chosen rows in float64, over streams of the other rows, each
 * with a tolerance for a kernel that computes in f32 and rounds once on storing.
 *
 * P_ij = exp(q_i·k_j/√d - lse_i), dS_ij = P_ij·(dO_i·v_j - delta_i), dQ_i = Σ_j dS_ij·k_j/√d,
 * dK_j = Σ_i dS_ij·q_i/√d, dV_j = Σ_i P_ij·dO_i.
 *
 * Tolerances (u = 2^-24): a dot product of length d in f32 is off by about √d·u times the product of
 * the two norms; over the many terms of a gradient these roundings are independent, so they add as
 * the root of their squares, and four such deviations are allowed. What all terms share adds up
 * linearly: the exponential's 3 + 2|x| units in the last place and the row's own statistics. A sum of
 * n terms adds 4·√n·u of its largest partial sum. Storing may round either way. Below 2^-126 a device
 * may flush each weight and each product to zero.
 *
 * Independent of the references under `kernels/`, on purpose: two opinions.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import { SMALLEST_NORMAL } from "../../kernels/gpu/half.ts";
import type { RowSpan } from "../../kernels/implementation.ts";
import { HALF_ULP, storingError } from "./attention_rows.ts";
import { placesOf } from "./row_spans.ts";

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
  /** How far the kernel's delta may be from this one. */
  readonly deltaError: number;
}

/** A gradient row and the tolerance of any of its elements. */
export interface CheckedGradient {
  readonly gradient: Float64Array;
  readonly tolerance: number;
}

const UNIT = 2 ** -24;

/** Allowed deviations of errors that are independent of each other. */
const DEVIATIONS = 4;

/** A row whose log-sum-exp and delta are computed while keys and values stream past. */
export interface RowStatisticState {
  readonly query: Float64Array;
  readonly outputGradient: Float64Array;
  /** The keys that the row sees. */
  readonly spans: readonly RowSpan[];
  readonly dtype: DType;
  readonly sums: Float64Array;
  max: number;
  total: number;
}

/** Starts a row that has seen no key. `spans`: the keys that it sees. */
export function startRowStatistic(
  row: { query: ArrayLike<number>; outputGradient: ArrayLike<number> },
  options: { spans: readonly RowSpan[]; dtype: DType },
): RowStatisticState {
  return {
    ...options,
    query: Float64Array.from(row.query),
    outputGradient: Float64Array.from(row.outputGradient),
    sums: new Float64Array(row.query.length),
    max: -Infinity,
    total: 0,
  };
}

/** Takes the keys of a chunk that the row sees. Chunks come in ascending order. */
export function takeStatisticKeys(
  row: RowStatisticState,
  chunk: RowChunk & { k: ArrayLike<number>; v: ArrayLike<number> },
): void {
  const { k, v } = chunk;
  const { query, sums, spans } = row;
  let { max, total } = row;
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
      for (let c = 0; c < dim; c++) sums[c] *= shrink;
      max = logit;
    }
    const weight = Math.exp(logit - max);
    total += weight;
    for (let c = 0; c < dim; c++) sums[c] += weight * v[at + c];
  }
  Object.assign(row, { max, total });
}

/** The statistic of a row after its last key. */
export function finishRowStatistic(row: RowStatisticState): RowStatistic {
  const output = row.sums.map((sum) => sum / row.total);
  // The kernel takes the output as stored.
  const statistic = deltaOf(output, row.outputGradient);
  const rounding = HALF_ULP[row.dtype] * statistic.deviation;
  return {
    lse: row.max + Math.log(row.total),
    delta: statistic.delta,
    deltaError: DEVIATIONS * (statistic.deviation * UNIT * Math.sqrt(output.length) + rounding),
  };
}

/** Delta and its error, `[rows]` each, of rows `[rows, d]` from a device's own output. */
export function deviceStatistics(
  { output, outputGradient, dim }: {
    output: Float32Array;
    outputGradient: Float32Array;
    dim: number;
  },
): { delta: Float64Array; deltaError: Float64Array } {
  const rows = output.length / dim;
  const found = { delta: new Float64Array(rows), deltaError: new Float64Array(rows) };
  const rounding = UNIT * Math.sqrt(dim);
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

/** A weighted sum of rows and what limits how well f32 can compute it. */
interface WeightedSum {
  readonly sums: Float64Array;
  squares: number;
  independent: number;
  shared: number;
  largest: number;
  partial: number;
  count: number;
}

function startSum(dim: number): WeightedSum {
  return {
    sums: new Float64Array(dim),
    squares: 0,
    independent: 0,
    shared: 0,
    largest: 0,
    partial: 0,
    count: 0,
  };
}

/** Adds `weight` times the row of `values` at `at`; errors are absolute, of the weight. */
function addTerm(
  sum: WeightedSum,
  weight: number,
  term: { values: ArrayLike<number>; at: number; independent: number; shared: number },
): void {
  const { values, at, independent, shared } = term;
  const { sums } = sum;
  let { largest } = sum;
  for (let c = 0; c < sums.length; c++) {
    const value = values[at + c];
    sums[c] += weight * value;
    if (value > largest) largest = value;
    else if (-value > largest) largest = -value;
  }
  sum.largest = largest;
  sum.squares += weight * weight;
  sum.independent += independent * independent;
  sum.shared += shared;
  if (sum.count++ % 64 === 0) watchPartial(sum);
}

function watchPartial(sum: WeightedSum): void {
  for (const value of sum.sums) sum.partial = Math.max(sum.partial, Math.abs(value));
}

function finishSum(
  sum: WeightedSum,
  factor: number,
  { dtype, flushes }: { dtype: DType; flushes?: boolean },
): CheckedGradient {
  watchPartial(sum);
  const gradient = sum.sums.map((value) => value * factor);
  const partial = sum.partial + DEVIATIONS * Math.sqrt(sum.squares) * sum.largest;
  const walk = DEVIATIONS * Math.sqrt(sum.count) * UNIT * partial;
  const errors = DEVIATIONS * Math.sqrt(sum.independent) + sum.shared;
  const flushed = sum.count * SMALLEST_NORMAL.f32;
  let most = 0;
  for (const value of gradient) most = Math.max(most, Math.abs(value));
  return {
    gradient,
    tolerance: factor * (errors * sum.largest + walk + flushed) +
      storingError(most, dtype, { flushes }),
  };
}

/** What rounding to f16 may change, subnormals included; zero where nothing is rounded. */
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

/** Euclidean lengths of rows: one pass over a chunk serves every row that takes it. */
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
  const gamma = Math.sqrt(dim) * UNIT;
  const logit = dot * scale;
  const x = logit - statistic.lse;
  const weight = Math.exp(x);
  const independent = gamma * scale * scoreSize + 2 * UNIT * Math.abs(logit);
  // Two units are one in the last place; the log-sum-exp is stored in f32 and changes base.
  const shared = 2 * UNIT * (3 + 2 * Math.abs(x)) + 4 * UNIT * (1 + Math.abs(statistic.lse));
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

/** A row whose dQ is computed while keys and values stream past. */
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
 * Starts a row that has seen no key.
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

/** Takes the keys of a chunk that the row sees. */
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

/** A row whose dK and dV are computed while queries and output gradients stream past. */
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
 * Starts a row that no query has seen.
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

/** Takes the queries of a chunk that see the row, with the statistics of the chunk's rows. */
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
