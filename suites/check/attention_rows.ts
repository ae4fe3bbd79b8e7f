/**
 * Attention of chosen rows, computed twice over the same stream of keys and values: once in
 * float64, as the reference, and once plainly in f32 with storage rounding, which a kernel's error
 * is judged against. Keys and values are streamed in chunks, so a context of 512K needs little
 * memory.
 *
 * Deliberately independent of the references under `kernels/`: a second implementation.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import { SMALLEST_NORMAL } from "../../kernels/gpu/half.ts";
import type { RowSpan } from "../../kernels/implementation.ts";
import { causal, countRows, spansWithin } from "./row_spans.ts";

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

/** One row of the output, and the bounds on how closely a kernel can match it. */
export interface AttentionRow {
  readonly output: Float64Array;
  /** Natural log-sum-exp of the scaled logits. */
  readonly lse: number;
  /** The plain f32 computation, rounded to the storage type. */
  readonly plainOutput: Float32Array;
  readonly plainLse: number;
  /**
   * Bound of the error that may come from exponentials of the precision WGSL requires (3 + 2·|x|
   * units in the last place), f32 logits, f32 sums and rounded weights: absolute, for any element
   * of the output.
   */
  readonly outputFloor: number;
  /** The same for the log-sum-exp. */
  readonly lseFloor: number;
}

/** Half a unit in the last place, relative, for a storage type. */
export const HALF_ULP = { f16: 2 ** -11, f32: 2 ** -24 } as const;

/**
 * How much storing a row of values up to `most` may change it: one unit in the last place, or one
 * step, which is all of a number that the device may flush to zero.
 *
 * @param options `flushes`: the device flushes subnormals of f16. Default false. Any device may
 * flush f32.
 */
export function storingError(
  most: number,
  dtype: DType,
  { flushes = false }: { flushes?: boolean } = {},
): number {
  const smallest = dtype === "f32" || flushes ? SMALLEST_NORMAL[dtype] : 2 ** -24;
  return Math.max(2 * HALF_ULP[dtype] * most, smallest);
}

/** A query row over which keys and values are streamed: plain data, which a worker may continue. */
export interface AttentionRowState {
  readonly query: Float64Array;
  readonly storedQuery: Float32Array;
  /** The keys that the row sees. */
  readonly spans: readonly RowSpan[];
  readonly dtype: DType;
  readonly weights: DType;
  readonly sums: Float64Array;
  readonly plainSums: Float32Array;
  max: number;
  total: number;
  spread: number;
  squares: number;
  largest: number;
  plainMax: number;
  plainTotal: number;
}

/**
 * Starts a row before its first key.
 *
 * @param query the row of Q, exact.
 * @param options `last`: the last key that the row sees, or `spans` of keys that it sees; `stored`:
 * the row as the device stores it; `dtype` of the output; `weights`: the type that softmax weights
 * may be rounded to, default `dtype`.
 */
export function startAttentionRow(
  query: ArrayLike<number>,
  options:
    & { dtype: DType; stored?: ArrayLike<number>; weights?: DType }
    & (
      | { last: number }
      | { spans: readonly RowSpan[] }
    ),
): AttentionRowState {
  const { dtype, weights = dtype, stored = query } = options;
  return {
    query: Float64Array.from(query),
    storedQuery: Float32Array.from(stored),
    spans: "spans" in options ? options.spans : causal(options.last),
    dtype,
    weights,
    sums: new Float64Array(query.length),
    plainSums: new Float32Array(query.length),
    max: -Infinity,
    total: 0,
    spread: 0,
    squares: 0,
    largest: 0,
    plainMax: -Infinity,
    plainTotal: 0,
  };
}

/** How many keys of a chunk a row sees. */
export function keysSeen(
  { spans }: { spans: readonly RowSpan[] },
  chunk: { first: number; count: number },
): number {
  return countRows(spans, chunk);
}

/** Adds the keys of a chunk that the row sees. Chunks come in ascending order. */
export function takeKeys(row: AttentionRowState, chunk: KeyChunk): void {
  for (const span of spansWithin(row.spans, chunk)) {
    takeExact(row, chunk, span);
    takePlain(row, chunk, span);
  }
}

function takeExact(row: AttentionRowState, { k, v }: KeyChunk, { first, end }: RowSpan): void {
  const { query, sums } = row;
  let { max, total, spread, squares, largest } = row;
  const dim = query.length;
  const scale = 1 / Math.sqrt(dim);
  for (let j = first; j < end; j++) {
    const at = j * dim;
    let dot = 0;
    let productSquares = 0;
    for (let c = 0; c < dim; c++) {
      const product = query[c] * k[at + c];
      dot += product;
      productSquares += product * product;
    }
    const logit = dot * scale;
    if (logit > max) {
      const shrink = Math.exp(max - logit);
      // Earlier terms move away from the maximum by the difference.
      const moved = total === 0 ? 0 : 2 * (logit - max) * total;
      spread = (spread + moved) * shrink;
      total *= shrink;
      squares *= shrink * shrink;
      for (let c = 0; c < dim; c++) sums[c] *= shrink;
      max = logit;
    }
    const x = max - logit;
    const weight = Math.exp(-x);
    total += weight;
    squares += weight * weight;
    // An exponential: 3 + 2x ulp; its argument, a difference of f32 logits: at most |logit| ulp. A
    // logit is a sum of d products, each rounded, or cut off below an ulp of the largest where
    // matrix units add several at once: √d·√Σ(q·k)² ulp as a random walk, then scaled by 1/√d.
    spread += weight * (3 + 2 * x + Math.abs(logit) + Math.sqrt(productSquares));
    for (let c = 0; c < dim; c++) {
      const value = v[at + c];
      sums[c] += weight * value;
      if (value > largest) largest = value;
      else if (-value > largest) largest = -value;
    }
  }
  Object.assign(row, { max, total, spread, squares, largest });
}

function takePlain(row: AttentionRowState, chunk: KeyChunk, { first, end }: RowSpan): void {
  const k = chunk.storedK ?? chunk.k;
  const v = chunk.storedV ?? chunk.v;
  const { storedQuery: query, plainSums: sums } = row;
  let { plainMax, plainTotal } = row;
  const dim = query.length;
  const { fround } = Math;
  const scale = fround(1 / Math.sqrt(dim));
  const half = row.weights === "f16";
  for (let j = first; j < end; j++) {
    const at = j * dim;
    let dot = fround(0);
    for (let c = 0; c < dim; c++) dot = fround(dot + fround(query[c] * fround(k[at + c])));
    const logit = fround(dot * scale);
    if (logit > plainMax) {
      const shrink = fround(Math.exp(plainMax - logit));
      plainTotal = fround(plainTotal * shrink);
      for (let c = 0; c < dim; c++) sums[c] *= shrink;
      plainMax = logit;
    }
    const exact = fround(Math.exp(fround(logit - plainMax)));
    plainTotal = fround(plainTotal + exact);
    // Matrix units take the weights in the storage type.
    const weight = half ? Math.f16round(exact) : exact;
    for (let c = 0; c < dim; c++) sums[c] += fround(weight * fround(v[at + c]));
  }
  Object.assign(row, { plainMax, plainTotal });
}

/** A row that attends to keys within its residue class, or a key row that attends to queries. */
export interface ClassRowState {
  readonly row: AttentionRowState;
  readonly residue: number;
  /** The rows it attends to. */
  readonly side: "q" | "k";
}

/** Rows of all residue classes that contain a checked row, from class row `first` on. */
export interface ClassChunk {
  readonly first: number;
  /** By residue, `[count, dim]` each. */
  readonly classes: Readonly<
    Record<number, { readonly count: number } & Readonly<Record<"q" | "k" | "v", Float32Array>>>
  >;
}

/** Adds the rows of a chunk that belong to the row's class. */
export function takeClassKeys({ row, residue, side }: ClassRowState, chunk: ClassChunk): void {
  const { count, v, [side]: k } = chunk.classes[residue];
  takeKeys(row, { first: chunk.first, count, k, v });
}

/** The result of a row after its last key. */
export function finishAttentionRow(row: AttentionRowState): AttentionRow {
  const { max, total, dtype, largest, plainMax, plainTotal } = row;
  const output = row.sums.map((sum) => sum / total);
  const round = dtype === "f16" ? Math.f16round : Math.fround;
  const plainOutput = row.plainSums.map((sum) => round(Math.fround(sum / plainTotal)));
  const relative = row.spread / total * 2 ** -23;
  const lse = max + Math.log(total);
  // A sum of n terms in f32, in any blocking, errs like a random walk of n half ulps.
  const terms = countRows(row.spans);
  const walk = 4 * Math.sqrt(terms) * 2 ** -24;
  // Rounded weights err the same way, and not only in the plain computation: it rounds them
  // relative to the maximum so far, a kernel relative to any other reference.
  const steps = Math.min(1, 4 * Math.sqrt(row.squares) / total);
  const rounded = row.weights === "f16" ? HALF_ULP.f16 * steps : 0;
  return {
    output,
    lse,
    plainOutput,
    plainLse: Math.fround(plainMax + Math.fround(Math.log(plainTotal))),
    // Σ p·δ·(v - o) with |v - o| ≤ 2·max|v|.
    // Each weight and each product may be flushed to zero.
    outputFloor: largest * (2 * relative + walk + rounded) +
      terms * SMALLEST_NORMAL.f32 * (1 + largest),
    // A kernel may keep it in base 2: a logarithm, a product and a sum, each rounded.
    lseFloor: relative + walk + 2 ** -22 * Math.max(1, Math.abs(lse)),
  };
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
