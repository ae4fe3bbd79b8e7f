/**
 * Gradients of causal attention for chosen rows in float64, over streams of the other rows, each
 * with a tolerance for a kernel that computes in f32 and rounds once on storing.
 *
 * P_ij = exp(q_i·k_j/√d - lse_i), dS_ij = P_ij·(dO_i·v_j - delta_i), dQ_i = Σ_j dS_ij·k_j/√d,
 * dK_j = Σ_i dS_ij·q_i/√d, dV_j = Σ_i P_ij·dO_i.
 *
 * Tolerances (u = 2^-24): a dot product of length d in f32 is off by about √d·u times the product of
 * the two norms; over the many terms of a gradient these roundings are independent, so they add as
 * the root of their squares, and four such deviations are allowed. What all terms share adds up
 * linearly: the exponential's 3 + 2|x| units in the last place and the row's own statistics. A sum of
 * n terms adds 4·√n·u of its largest partial sum. Storing may round either way.
 *
 * Independent of the references under `kernels/`, on purpose: two opinions.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import { HALF_ULP } from "./attention_rows.ts";

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

/** Log-sum-exp and delta of one row, over a stream of keys and values. */
export class RowStatisticCheck {
  readonly #query: Float64Array;
  readonly #gradient: Float64Array;
  readonly #last: number;
  readonly #dtype: DType;
  readonly #sums: Float64Array;
  #max = -Infinity;
  #total = 0;

  /** @param options `last`: the last key that the row sees. */
  constructor(
    row: { query: ArrayLike<number>; outputGradient: ArrayLike<number> },
    options: { last: number; dtype: DType },
  ) {
    this.#query = Float64Array.from(row.query);
    this.#gradient = Float64Array.from(row.outputGradient);
    this.#last = options.last;
    this.#dtype = options.dtype;
    this.#sums = new Float64Array(row.query.length);
  }

  /** Takes the keys of a chunk that the row sees. Chunks come in ascending order. */
  take(chunk: RowChunk & { k: ArrayLike<number>; v: ArrayLike<number> }): void {
    const { k, v } = chunk;
    const query = this.#query;
    const sums = this.#sums;
    const dim = query.length;
    const scale = 1 / Math.sqrt(dim);
    const count = Math.min(chunk.count, this.#last + 1 - chunk.first);
    for (let j = 0; j < count; j++) {
      const at = j * dim;
      let dot = 0;
      for (let c = 0; c < dim; c++) dot += query[c] * k[at + c];
      const logit = dot * scale;
      if (logit > this.#max) {
        const shrink = Math.exp(this.#max - logit);
        this.#total *= shrink;
        for (let c = 0; c < dim; c++) sums[c] *= shrink;
        this.#max = logit;
      }
      const weight = Math.exp(logit - this.#max);
      this.#total += weight;
      for (let c = 0; c < dim; c++) sums[c] += weight * v[at + c];
    }
  }

  /** The finished statistic. */
  finish(): RowStatistic {
    const output = this.#sums.map((sum) => sum / this.#total);
    // The kernel takes the output as stored.
    const statistic = deltaOf(output, this.#gradient);
    const rounding = HALF_ULP[this.#dtype] * statistic.deviation;
    return {
      lse: this.#max + Math.log(this.#total),
      delta: statistic.delta,
      deltaError: DEVIATIONS * (statistic.deviation * UNIT * Math.sqrt(output.length) + rounding),
    };
  }
}

/** The statistic of a row from a device's own log-sum-exp and output. */
export function deviceStatistic(
  row: { lse: number; output: ArrayLike<number>; outputGradient: ArrayLike<number> },
): RowStatistic {
  const { delta, deviation } = deltaOf(row.output, row.outputGradient);
  const rounding = UNIT * Math.sqrt(row.output.length);
  return { lse: row.lse, delta, deltaError: DEVIATIONS * rounding * deviation };
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
class WeightedSum {
  readonly #sums: Float64Array;
  #squares = 0;
  #independent = 0;
  #shared = 0;
  #largest = 0;
  #partial = 0;
  #count = 0;

  constructor(dim: number) {
    this.#sums = new Float64Array(dim);
  }

  /** Adds `weight` times the row of `values` at `at`; errors are absolute, of the weight. */
  add(
    weight: number,
    term: { values: ArrayLike<number>; at: number; independent: number; shared: number },
  ): void {
    const { values, at, independent, shared } = term;
    const sums = this.#sums;
    for (let c = 0; c < sums.length; c++) {
      const value = values[at + c];
      sums[c] += weight * value;
      if (value > this.#largest) this.#largest = value;
      else if (-value > this.#largest) this.#largest = -value;
    }
    this.#squares += weight * weight;
    this.#independent += independent * independent;
    this.#shared += shared;
    if (this.#count++ % 64 === 0) this.#watch();
  }

  #watch(): void {
    for (const sum of this.#sums) this.#partial = Math.max(this.#partial, Math.abs(sum));
  }

  finish(factor: number, dtype: DType): CheckedGradient {
    this.#watch();
    const gradient = this.#sums.map((sum) => sum * factor);
    const partial = this.#partial + DEVIATIONS * Math.sqrt(this.#squares) * this.#largest;
    const walk = DEVIATIONS * Math.sqrt(this.#count) * UNIT * partial;
    const errors = DEVIATIONS * Math.sqrt(this.#independent) + this.#shared;
    let most = 0;
    for (const value of gradient) most = Math.max(most, Math.abs(value));
    return {
      gradient,
      tolerance: factor * (errors * this.#largest + walk) + storingError(most, dtype),
    };
  }
}

/** What storing a row of values up to `most` may change: one unit in the last place, or one step. */
export function storingError(most: number, dtype: DType): number {
  const smallest = dtype === "f16" ? 2 ** -24 : 2 ** -149;
  return Math.max(2 * HALF_ULP[dtype] * most, smallest);
}

/** What rounding to f16 may change, subnormals included; zero where nothing is rounded. */
function halfRounding(value: number, halfProducts: number | undefined): number {
  return halfProducts ? Math.max(HALF_ULP.f16 * Math.abs(value), halfProducts) : 0;
}

/** Euclidean lengths of rows: one pass over a chunk serves every check that takes it. */
export function rowLengths(rows: ArrayLike<number>, dim: number): Float64Array {
  const lengths = new Float64Array(rows.length / dim);
  for (let row = 0; row < lengths.length; row++) {
    let squares = 0;
    for (let c = row * dim; c < (row + 1) * dim; c++) squares += rows[c] * rows[c];
    lengths[row] = Math.sqrt(squares);
  }
  return lengths;
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
      shared: weight * shared,
    },
    scoreGradient: weight * difference,
    scoreGradientErrors: {
      independent: Math.hypot(
        weight * (independent * size + gamma * productSize),
        halfRounding(weight * difference, halfProducts),
      ),
      shared: weight * (shared * size + statistic.deltaError),
    },
  };
}

/** dQ of one row, over a stream of keys and values. */
export class QueryGradientCheck {
  readonly #row: { query: ArrayLike<number>; outputGradient: ArrayLike<number> };
  readonly #options: {
    last: number;
    dtype: DType;
    statistic: RowStatistic;
    halfProducts?: number;
  };
  readonly #sum: WeightedSum;

  /**
   * @param options `last`: the last key that the row sees; `halfProducts`: half of the smallest step
   * of score gradients that are rounded to f16 before they are multiplied with keys.
   */
  constructor(
    row: { query: ArrayLike<number>; outputGradient: ArrayLike<number> },
    options: { last: number; dtype: DType; statistic: RowStatistic; halfProducts?: number },
  ) {
    this.#row = row;
    this.#options = options;
    this.#sum = new WeightedSum(row.query.length);
  }

  /** Takes the keys of a chunk that the row sees. */
  take(
    chunk: RowChunk & {
      k: ArrayLike<number>;
      v: ArrayLike<number>;
      /** {@linkcode rowLengths} of `k` and of `v`. */
      lengths: { k: ArrayLike<number>; v: ArrayLike<number> };
    },
  ): void {
    const { query, outputGradient } = this.#row;
    const { last, statistic, halfProducts } = this.#options;
    const { k, v, lengths } = chunk;
    const dim = query.length;
    const [queryLength] = rowLengths(query, dim);
    const [gradientLength] = rowLengths(outputGradient, dim);
    const count = Math.min(chunk.count, last + 1 - chunk.first);
    for (let j = 0; j < count; j++) {
      const column = j * dim;
      const scoreSize = queryLength * lengths.k[j];
      const productSize = gradientLength * lengths.v[j];
      const pair = pairOf(
        { q: query, outputGradient, row: 0, k, v, column, scoreSize, productSize },
        { statistic, dim, halfProducts },
      );
      this.#sum.add(pair.scoreGradient, { values: k, at: column, ...pair.scoreGradientErrors });
    }
  }

  /** The finished row. */
  finish(): CheckedGradient {
    const { query } = this.#row;
    return this.#sum.finish(1 / Math.sqrt(query.length), this.#options.dtype);
  }
}

/** dK and dV of one row, over a stream of queries and output gradients. */
export class KeyValueGradientCheck {
  readonly #row: { key: ArrayLike<number>; value: ArrayLike<number> };
  readonly #options: { first: number; dtype: DType; halfProducts?: number };
  readonly #key: WeightedSum;
  readonly #value: WeightedSum;

  /**
   * @param options `first`: the first query that sees the row; `halfProducts`: half of the smallest
   * step of weights and score gradients that are rounded to f16 before they are multiplied with rows.
   */
  constructor(
    row: { key: ArrayLike<number>; value: ArrayLike<number> },
    options: { first: number; dtype: DType; halfProducts?: number },
  ) {
    this.#row = row;
    this.#options = options;
    this.#key = new WeightedSum(row.key.length);
    this.#value = new WeightedSum(row.key.length);
  }

  /** The first query that sees the row. */
  get first(): number {
    return this.#options.first;
  }

  /** Takes the queries of a chunk that see the row, with the statistics of the chunk's rows. */
  take(
    chunk: RowChunk & {
      q: ArrayLike<number>;
      outputGradient: ArrayLike<number>;
      /** {@linkcode rowLengths} of `q` and of `outputGradient`. */
      lengths: { q: ArrayLike<number>; outputGradient: ArrayLike<number> };
      statistics: readonly RowStatistic[];
    },
  ): void {
    const { key: k, value: v } = this.#row;
    const { q, outputGradient, lengths, statistics } = chunk;
    const { halfProducts } = this.#options;
    const dim = k.length;
    const [keyLength] = rowLengths(k, dim);
    const [valueLength] = rowLengths(v, dim);
    for (let i = Math.max(0, this.first - chunk.first); i < chunk.count; i++) {
      const row = i * dim;
      const scoreSize = lengths.q[i] * keyLength;
      const productSize = lengths.outputGradient[i] * valueLength;
      const pair = pairOf(
        { q, outputGradient, row, k, v, column: 0, scoreSize, productSize },
        { statistic: statistics[i], dim, halfProducts },
      );
      this.#key.add(pair.scoreGradient, { values: q, at: row, ...pair.scoreGradientErrors });
      this.#value.add(pair.weight, { values: outputGradient, at: row, ...pair.weightErrors });
    }
  }

  /** The finished rows. */
  finish(): { key: CheckedGradient; value: CheckedGradient } {
    const { key } = this.#row;
    const { dtype } = this.#options;
    return {
      key: this.#key.finish(1 / Math.sqrt(key.length), dtype),
      value: this.#value.finish(1, dtype),
    };
  }
}
