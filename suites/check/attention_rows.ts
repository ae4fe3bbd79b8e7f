/**
 * Causal attention of chosen rows, twice over the same stream of keys and values: once in float64,
 * the reference, and once plainly in f32 with storage rounding, which is what the error of a kernel
 * is judged by. Keys and values pass by in chunks, so a context of 512K needs little memory.
 *
 * Independent of the references under `kernels/`, on purpose: two opinions.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";

/** Rows of keys and values `first … first + count - 1`, each `[count, dim]`. */
export interface KeyChunk {
  readonly first: number;
  readonly count: number;
  /** Exact values, for the reference. */
  readonly k: ArrayLike<number>;
  readonly v: ArrayLike<number>;
  /** Values as the device stores them, where that differs (pooled rows). */
  readonly storedK?: ArrayLike<number>;
  readonly storedV?: ArrayLike<number>;
}

/** One row of the output, and what limits how well a kernel can match it. */
export interface AttentionRow {
  readonly output: Float64Array;
  /** Natural log-sum-exp of the scaled logits. */
  readonly lse: number;
  /** The plain f32 computation, rounded to the storage type. */
  readonly plainOutput: Float32Array;
  readonly plainLse: number;
  /**
   * Bound of the error that exponentials of the precision WGSL asks for (3 + 2·|x| units in the
   * last place), f32 logits, f32 sums and rounded weights may cause: absolute, of any element of the
   * output.
   */
  readonly outputFloor: number;
  /** The same of the log-sum-exp. */
  readonly lseFloor: number;
}

/** Half a unit in the last place, relative, of a storage type. */
export const HALF_ULP = { f16: 2 ** -11, f32: 2 ** -24 } as const;

/** One query row that keys and values stream past. */
export class AttentionRowCheck {
  readonly #query: Float64Array;
  readonly #storedQuery: Float32Array;
  readonly #last: number;
  readonly #scale: number;
  readonly #dtype: DType;
  readonly #weights: DType;
  readonly #sums: Float64Array;
  readonly #plainSums: Float32Array;
  #max = -Infinity;
  #total = 0;
  #spread = 0;
  #squares = 0;
  #largest = 0;
  #plainMax = -Infinity;
  #plainTotal = 0;

  /**
   * @param query the row of Q, exact.
   * @param options `last`: the last key that the row sees; `stored`: the row as the device stores
   * it; `dtype` of the output; `weights`: what softmax weights may be rounded to, default `dtype`.
   */
  constructor(
    query: ArrayLike<number>,
    options: { last: number; dtype: DType; stored?: ArrayLike<number>; weights?: DType },
  ) {
    const dim = query.length;
    this.#weights = options.weights ?? options.dtype;
    this.#query = Float64Array.from(query);
    this.#storedQuery = Float32Array.from(options.stored ?? query);
    this.#last = options.last;
    this.#scale = 1 / Math.sqrt(dim);
    this.#dtype = options.dtype;
    this.#sums = new Float64Array(dim);
    this.#plainSums = new Float32Array(dim);
  }

  /** The last key that the row sees. */
  get last(): number {
    return this.#last;
  }

  /** Takes the keys of a chunk that the row sees. Chunks come in ascending order. */
  take(chunk: KeyChunk): void {
    const count = Math.min(chunk.count, this.#last + 1 - chunk.first);
    if (count <= 0) return;
    this.#takeExact(chunk, count);
    this.#takePlain(chunk, count);
  }

  #takeExact({ k, v }: KeyChunk, count: number): void {
    const query = this.#query;
    const sums = this.#sums;
    const dim = query.length;
    for (let j = 0; j < count; j++) {
      const at = j * dim;
      let dot = 0;
      for (let c = 0; c < dim; c++) dot += query[c] * k[at + c];
      const logit = dot * this.#scale;
      if (logit > this.#max) {
        const shrink = Math.exp(this.#max - logit);
        // Terms already taken move away from the maximum by the difference.
        const moved = this.#total === 0 ? 0 : 2 * (logit - this.#max) * this.#total;
        this.#spread = (this.#spread + moved) * shrink;
        this.#total *= shrink;
        this.#squares *= shrink * shrink;
        for (let c = 0; c < dim; c++) sums[c] *= shrink;
        this.#max = logit;
      }
      const x = this.#max - logit;
      const weight = Math.exp(-x);
      this.#total += weight;
      this.#squares += weight * weight;
      // An exponential: 3 + 2x ulp; its argument, a difference of f32 logits, |logit| ulp at most.
      this.#spread += weight * (3 + 2 * x + Math.abs(logit));
      for (let c = 0; c < dim; c++) {
        const value = v[at + c];
        sums[c] += weight * value;
        if (value > this.#largest) this.#largest = value;
        else if (-value > this.#largest) this.#largest = -value;
      }
    }
  }

  #takePlain(chunk: KeyChunk, count: number): void {
    const k = chunk.storedK ?? chunk.k;
    const v = chunk.storedV ?? chunk.v;
    const query = this.#storedQuery;
    const sums = this.#plainSums;
    const dim = query.length;
    const { fround } = Math;
    const scale = fround(this.#scale);
    const half = this.#weights === "f16";
    for (let j = 0; j < count; j++) {
      const at = j * dim;
      let dot = fround(0);
      for (let c = 0; c < dim; c++) dot = fround(dot + fround(query[c] * fround(k[at + c])));
      const logit = fround(dot * scale);
      if (logit > this.#plainMax) {
        const shrink = fround(Math.exp(this.#plainMax - logit));
        this.#plainTotal = fround(this.#plainTotal * shrink);
        for (let c = 0; c < dim; c++) sums[c] *= shrink;
        this.#plainMax = logit;
      }
      const exact = fround(Math.exp(fround(logit - this.#plainMax)));
      this.#plainTotal = fround(this.#plainTotal + exact);
      // Matrix units take the weights in the storage type.
      const weight = half ? Math.f16round(exact) : exact;
      for (let c = 0; c < dim; c++) sums[c] += fround(weight * fround(v[at + c]));
    }
  }

  /** The finished row. */
  finish(): AttentionRow {
    const output = this.#sums.map((sum) => sum / this.#total);
    const round = this.#dtype === "f16" ? Math.f16round : Math.fround;
    const plainOutput = this.#plainSums.map((sum) => round(Math.fround(sum / this.#plainTotal)));
    const relative = this.#spread / this.#total * 2 ** -23;
    const lse = this.#max + Math.log(this.#total);
    // A sum of n terms in f32, in whatever blocks, errs like a random walk of n half ulps.
    const walk = 4 * Math.sqrt(this.#last + 1) * 2 ** -24;
    // So do weights that are rounded, and not in the plain computation alone: it rounds them beside the
    // maximum so far, a kernel beside any other reference.
    const steps = Math.min(1, 4 * Math.sqrt(this.#squares) / this.#total);
    const rounded = this.#weights === "f16" ? HALF_ULP.f16 * steps : 0;
    return {
      output,
      lse,
      plainOutput,
      plainLse: Math.fround(this.#plainMax + Math.fround(Math.log(this.#plainTotal))),
      // Σ p·δ·(v - o) with |v - o| ≤ 2·max|v|.
      outputFloor: this.#largest * (2 * relative + walk + rounded),
      // A kernel may keep it in base 2: a logarithm, a product and a sum, rounded each.
      lseFloor: relative + walk + 2 ** -22 * Math.max(1, Math.abs(lse)),
    };
  }
}

/** Largest absolute difference between two rows. */
export function maxDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const difference = Math.abs(a[i] - b[i]);
    if (!(difference <= most)) most = difference; // NaN counts
  }
  return most;
}

/** Largest magnitude in a row. */
export function maxMagnitude(row: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < row.length; i++) most = Math.max(most, Math.abs(row[i]));
  return most;
}
