/**
 * What the last query of a sparse layer attends to, from its logits: all that a needle test needs
 * of the layer. Scores of blocks are products with means of keys, which are means of logits; an
 * index ranks tokens by the query and the keys themselves (one head, weight 1), so its scores are
 * the logits above zero. The rules are those that checks hold the kernels against.
 *
 * @module
 */
import type { Implementation, LastQuery, Problem, RowSpan } from "../../kernels/implementation.ts";
import { requireOptions } from "../../kernels/options.ts";

/** What a query of a trial attends to. */
export interface AttendedKeys extends Omit<LastQuery, "weights"> {
  /** Rows with a weight, ascending. */
  readonly rows: Int32Array;
  /** Theirs in the output row. */
  readonly weights: Float64Array;
}

/**
 * Whether {@linkcode attendedKeys} can tell what the last query of an implementation attends to.
 */
export function tellsLastQuery(
  { visible, selector, tokens, lastQuery }: Pick<
    Implementation,
    "visible" | "selector" | "tokens" | "lastQuery"
  >,
): boolean {
  return (visible ?? selector?.rank ?? tokens ?? lastQuery) !== undefined;
}

/**
 * The keys of the last query of one trial.
 *
 * @param options `logits`: of all rows, scaled; `trial`: the head, for patterns that differ by
 * head.
 * @throws {RangeError} one line, where the implementation cannot compute the problem.
 *
 * @example
 * ```ts
 * import { moba } from "../../kernels/sparse_attention/moba/moba.ts";
 * import { attendedKeys } from "./attended_keys.ts";
 * import assert from "node:assert/strict";
 * const shape = { heads: 1, context: 128, headDim: 64, dtype: "f32" } as const;
 * const problem = { shape, options: { block: 32, topk: 2 } };
 * const logits = new Float32Array(128).fill(0).with(40, 9);
 * const { spans } = attendedKeys(moba, problem, { logits, trial: 0 });
 * assert.deepEqual(spans, [{ first: 32, end: 64 }, { first: 96, end: 128 }]);
 * ```
 */
export function attendedKeys(
  implementation: Implementation,
  problem: Problem,
  { logits, trial }: { readonly logits: ArrayLike<number>; readonly trial: number },
): AttendedKeys {
  const { options, name, lastQuery } = implementation;
  requireOptions(options, problem.options ?? {}, `plan ${name}`);
  if (lastQuery) {
    const { spans, weights } = lastQuery(logits, problem);
    const rows = Int32Array.from(weights.keys()).filter((row) => weights[row] > 0);
    return { spans, rows, weights: Float64Array.from(rows, (row) => weights[row]) };
  }
  const spans = spansOf(implementation, problem, { logits, trial });
  return { spans, ...softmaxOver(spans, logits) };
}

function spansOf(
  { visible, selector, tokens, name }: Implementation,
  problem: Problem,
  { logits, trial }: { readonly logits: ArrayLike<number>; readonly trial: number },
): readonly RowSpan[] {
  const { heads, context } = problem.shape;
  const row = context - 1;
  if (visible) return visible(row, problem, trial % heads);
  if (selector?.rank) {
    const rank = selector.rank(logits, { ...problem, shape: { ...problem.shape, headDim: 1 } });
    const { scores, forced } = rank(row, [1]);
    const list = bestOf(scores, { width: selector.width(problem), forced });
    return selector.visible(list, row, problem);
  }
  if (!tokens) throw new TypeError(`implementation ${name} does not tell what a query attends to`);
  const blocks = tokens.blocks(problem);
  const width = tokens.width(problem);
  const scores = Float32Array.from(logits, (logit) => Math.max(0, logit));
  if (!blocks) return spansOfRows(largestOf(scores, { count: width }));
  const kept = keptBlocks(logits, blocks);
  const { blockRows } = blocks;
  const candidates = kept.flatMap((block) =>
    Array.from(
      { length: Math.min(blockRows, context - block * blockRows) },
      (_, i) => block * blockRows + i,
    )
  );
  const own = Float32Array.from(candidates, (token) => scores[token]);
  return spansOfRows(largestOf(own, { count: width }).map((at) => candidates[at]));
}

/**
 * Blocks that an index keeps for the last query: the first, its own, and the best means between.
 */
function keptBlocks(
  logits: ArrayLike<number>,
  { blockRows, blockCount }: { readonly blockRows: number; readonly blockCount: number },
): number[] {
  const own = Math.floor((logits.length - 1) / blockRows);
  if (own < blockCount) return Array.from({ length: own + 1 }, (_, block) => block);
  const scores = Float64Array.from({ length: own }, (_, block) => {
    let sum = 0;
    for (let i = 0; i < blockRows; i++) sum += logits[block * blockRows + i];
    return Math.max(0, sum / blockRows);
  });
  return bestOf(scores, { width: blockCount, forced: [0, own] });
}

/** The forced entries and the largest scores, ascending; of equal scores the smaller entry. */
function bestOf(
  scores: ArrayLike<number>,
  { width, forced }: { readonly width: number; readonly forced: readonly number[] },
): number[] {
  const best = Array.from({ length: scores.length }, (_, at) => at)
    .filter((at) => !forced.includes(at))
    .sort((a, b) => scores[b] - scores[a] || a - b)
    .slice(0, Math.max(0, width - forced.length));
  return [...forced, ...best].sort((a, b) => a - b);
}

/**
 * Places of the largest values, ascending; of equal ones the smaller place.
 *
 * @example
 * ```ts
 * import { largestOf } from "./attended_keys.ts";
 * import assert from "node:assert/strict";
 * const found = largestOf(Float32Array.of(3, 1, 3, 0, 3), { count: 2 });
 * assert.deepEqual([...found], [0, 2]);
 * ```
 */
export function largestOf(values: Float32Array, { count }: { readonly count: number }): Int32Array {
  if (count >= values.length) return Int32Array.from(values.keys());
  const threshold = nthLargest(values, count);
  let above = 0;
  for (const value of values) if (value > threshold) above++;
  let equal = count - above;
  const found = new Int32Array(count);
  let at = 0;
  for (let i = 0; i < values.length; i++) {
    if (values[i] > threshold || values[i] === threshold && equal-- > 0) found[at++] = i;
  }
  return found;
}

/** The n-th largest value, by partitions around a middle one. */
function nthLargest(values: Float32Array, n: number): number {
  const own = Float32Array.from(values);
  let [low, high] = [0, own.length - 1];
  const at = n - 1;
  while (low < high) {
    const pivot = own[(low + high) >> 1];
    let [i, j] = [low, high];
    while (i <= j) {
      while (own[i] > pivot) i++;
      while (own[j] < pivot) j--;
      if (i > j) break;
      [own[i], own[j]] = [own[j], own[i]];
      i++;
      j--;
    }
    if (at <= j) high = j;
    else if (at >= i) low = i;
    else break;
  }
  return own[at];
}

/** Ascending rows as spans that do not touch. */
function spansOfRows(rows: ArrayLike<number>): RowSpan[] {
  const spans: { first: number; end: number }[] = [];
  for (let i = 0; i < rows.length; i++) {
    const last = spans.at(-1);
    if (last?.end === rows[i]) last.end++;
    else spans.push({ first: rows[i], end: rows[i] + 1 });
  }
  return spans;
}

function softmaxOver(
  spans: readonly RowSpan[],
  logits: ArrayLike<number>,
): Pick<AttendedKeys, "rows" | "weights"> {
  const rows = new Int32Array(spans.reduce((sum, { first, end }) => sum + end - first, 0));
  let [at, most] = [0, -Infinity];
  for (const { first, end } of spans) {
    for (let row = first; row < end; row++) {
      rows[at++] = row;
      most = Math.max(most, logits[row]);
    }
  }
  const weights = Float64Array.from(rows, (row) => Math.exp(logits[row] - most));
  const total = weights.reduce((a, b) => a + b, 0);
  return { rows, weights: weights.map((weight) => weight / total) };
}
