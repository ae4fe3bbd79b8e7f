/**
 * What the last query of NSA attends to, from its logits alone: the logit of a mean of keys is the
 * mean of their logits, so compressed keys, their probabilities and the ranks of blocks follow, and
 * a compressed value spreads its weight over the values that it is the mean of.
 *
 * Gates are ½, the mean of the seeded ones.
 *
 * @module
 */
import type { LastQuery, Problem, RowSpan } from "../../implementation.ts";
import { windowCount } from "./branch_walks.ts";
import { nsaOptions } from "./nsa_options.ts";

/** Weight of each branch. */
const GATE = 0.5;

/** Adds a softmax over some logits, times a gate, to weights of rows. */
function addSoftmax(
  weights: Float64Array,
  { logits, spans }: { readonly logits: ArrayLike<number>; readonly spans: readonly RowSpan[] },
): void {
  let most = -Infinity;
  for (const { first, end } of spans) {
    for (let row = first; row < end; row++) most = Math.max(most, logits[row]);
  }
  let total = 0;
  for (const { first, end } of spans) {
    for (let row = first; row < end; row++) total += Math.exp(logits[row] - most);
  }
  for (const { first, end } of spans) {
    for (let row = first; row < end; row++) {
      weights[row] += GATE * Math.exp(logits[row] - most) / total;
    }
  }
}

/** The keys of the last query, and their weights in its output row. */
export function nsaLastQuery(logits: ArrayLike<number>, problem: Problem): LastQuery {
  const { context: rows } = problem.shape;
  const options = nsaOptions("attend last query", problem);
  const { compression, block: size, initial, local, window } = options;
  const { window: length, stride } = compression;
  const count = windowCount(rows, compression);
  const means = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    for (let n = 0; n < length; n++) means[i] += logits[i * stride + n] / length;
  }
  const shares = new Float64Array(count);
  addSoftmax(shares, { logits: means, spans: [{ first: 0, end: count }] });
  const weights = new Float64Array(rows);
  const own = Math.floor((rows - 1) / size);
  const importance = new Float64Array(own + 1);
  for (let i = 0; i < count; i++) {
    for (let n = 0; n < length; n++) weights[i * stride + n] += shares[i] / length;
    // Strides that the window and a block have in common; all are whole.
    for (let n = 0; n < length; n += stride) {
      importance[Math.floor((i * stride + n) / size)] += shares[i];
    }
  }
  const forced = (block: number) => block < initial || block > own - local;
  const blocks = Array.from({ length: own + 1 }, (_, block) => block);
  const kept = blocks.filter(forced);
  const best = blocks.filter((block) => !forced(block))
    .sort((a, b) => importance[b] - importance[a] || a - b)
    .slice(0, Math.max(0, options.count - kept.length));
  const selected = [...kept, ...best].sort((a, b) => a - b).map((block): RowSpan => ({
    first: block * size,
    end: Math.min((block + 1) * size, rows),
  }));
  const near = { first: Math.max(0, rows - window), end: rows };
  addSoftmax(weights, { logits, spans: selected });
  addSoftmax(weights, { logits, spans: [near] });
  return { spans: joinSpans([...selected, near]), weights };
}

/** Spans that may overlap, as ascending ones that do not touch. */
function joinSpans(spans: readonly RowSpan[]): RowSpan[] {
  const joined: { first: number; end: number }[] = [];
  for (const { first, end } of [...spans].sort((a, b) => a.first - b.first)) {
    const last = joined.at(-1);
    if (last && first <= last.end) last.end = Math.max(last.end, end);
    else joined.push({ first, end });
  }
  return joined;
}
