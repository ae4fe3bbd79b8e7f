/**
 * Lists of blocks that queries selected, against float64 scores of the same inputs.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { RankedBlocks } from "../../kernels/implementation.ts";
import { readStoredRows } from "../plan/measurable.ts";
import type { CheckOptions } from "./check_options.ts";
import { type Part, partOf } from "./check_parts.ts";
import { CHUNK_ROWS, type HeadSample, readSampled } from "./head_samples.ts";
import { chunksOf } from "./stream.ts";

/** How a list compares with the scores that it should follow. */
export interface ListComparison {
  /** How far the worst selected block ranks below the best that is missing. */
  readonly error: number;
  /** How far two f32 scores may be apart from where they should be. */
  readonly tolerance: number;
}

/**
 * Holds one list against float64. A swap is an error of the difference of the two scores; a list of
 * a wrong length or order, without a forced block, or with an unknown one, is one of infinity.
 */
export function compareList(
  list: ArrayLike<number>,
  { scores, tolerance, forced }: RankedBlocks,
): ListComparison {
  const held = Array.from(list).filter((block) => block >= 0);
  const pairs = { tolerance: 2 * tolerance };
  const ranked = rankBlocks({ scores, tolerance, forced }, list.length);
  const ascending = held.every((block, i) => block === list[i] && (i === 0 || block > held[i - 1]));
  if (
    !ascending || held.length !== ranked.length || forced.some((block) => !held.includes(block))
  ) {
    return { error: Infinity, ...pairs };
  }
  const free = held.filter((block) => !forced.includes(block));
  if (free.some((block) => !(block < scores.length))) return { error: Infinity, ...pairs };
  const missing = ranked.filter((block) => !held.includes(block));
  const best = Math.max(...missing.map((block) => scores[block]));
  const worst = Math.min(...free.filter((b) => !ranked.includes(b)).map((block) => scores[block]));
  return { error: missing.length === 0 ? 0 : best - worst, ...pairs };
}

/** The blocks that float64 selects, in the order of their rank. */
export function rankBlocks(
  { scores, forced }: RankedBlocks,
  width: number,
): number[] {
  const order = Array.from({ length: scores.length }, (_, block) => block)
    .filter((block) => !forced.includes(block))
    .sort((a, b) => scores[b] - scores[a] || a - b);
  return [...forced, ...order.slice(0, Math.max(0, width - forced.length))];
}

/** Lists of sampled rows of one head. */
export async function checkLists(
  gpu: Gpu,
  options: CheckOptions & { sample: HeadSample },
): Promise<Part[]> {
  const { implementation: { selector }, problem, inputs, sample, lists, signal } = options;
  if (!selector?.rank || !lists) return [];
  const { context, headDim } = problem.shape;
  const { head, rows } = sample;
  const keys = new Float32Array(context * headDim);
  for (const range of chunksOf(0, context, CHUNK_ROWS)) {
    signal?.throwIfAborted();
    keys.set(await readStoredRows(gpu, inputs.k, { head, ...range }), range.first * headDim);
  }
  const queries = await readSampled(gpu, inputs.q, { head, rows });
  const rank = selector.rank(keys, problem);
  const width = selector.width(problem);
  return [partOf(
    "selection",
    rows.map((row, i) => {
      const first = (head * context + row) * width;
      const list = lists.subarray(first, first + width);
      return { label: `head ${head}, row ${row}`, ...compareList(list, rank(row, queries[i])) };
    }),
  )];
}
