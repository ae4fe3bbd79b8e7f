/**
 * Holds the tokens that an index selected against float64 scores of the same stored inputs.
 *
 * A list may differ from that of the float64 scores only by tokens whose scores are as near as
 * rounding may bring them: a score is a sum of J weighted products of length c in f32, in any
 * order. Where blocks are ranked first, their lists are held against float64 means, and tokens
 * against the blocks that the device kept.
 *
 * @module
 */
import { readRows, type Tensor } from "../../kernels/gpu/buffers.ts";
import type { Gpu } from "../../kernels/gpu/device.ts";
import { UNIT_ROUNDOFF } from "../../kernels/gpu/half.ts";
import type { IndexInputs } from "../../kernels/implementation.ts";
import type { Layer } from "../plan/measurable.ts";
import type { TokenSelectionRecord } from "../result/result_schema.ts";
import type { CheckOptions } from "./check_options.ts";
import type { Part } from "./check_parts.ts";
import type { HeadSample } from "./head_samples.ts";
import { chunksOf } from "./stream.ts";
import { tokensOf } from "./token_lists.ts";

/** Index keys that are read at once. */
const CHUNK_ROWS = 16_384;

/** A score in float64, and how far an f32 score may be from it. */
export interface Ranked {
  readonly score: number;
  readonly tolerance: number;
}

/**
 * Why a list of ranked entries is wrong; undefined if it is right within rounding.
 *
 * @param list entries, ascending.
 * @param options `ranked`: all entries that may be listed, ascending; `width`: most entries;
 * `forced`: those that are listed whatever their score.
 */
export function whyNotTop(
  list: ArrayLike<number>,
  { ranked, width, forced = [] }: {
    readonly ranked: ReadonlyMap<number, Ranked>;
    readonly width: number;
    readonly forced?: readonly number[];
  },
): string | undefined {
  const have = Array.from(list);
  if (have.some((entry, i) => i > 0 && entry <= have[i - 1])) return "it is not ascending";
  const count = Math.min(width, ranked.size);
  if (have.length !== count) return `it has ${have.length} entries, not ${count}`;
  const alien = have.find((entry) => !ranked.has(entry));
  if (alien !== undefined) return `${alien} may not be listed`;
  const missing = forced.find((entry) => !have.includes(entry));
  if (missing !== undefined) return `${missing} is not listed`;
  const rest = [...ranked].filter(([entry]) => !forced.includes(entry));
  const best = rest.sort(([a, x], [b, y]) => y.score - x.score || a - b);
  const wanted = new Set([...forced, ...best.slice(0, count - forced.length).map(([at]) => at)]);
  const listed = new Set(have);
  const left = [...wanted].filter((entry) => !listed.has(entry));
  const taken = have.filter((entry) => !wanted.has(entry));
  // The best of those left out against the worst of those taken in their place.
  const extreme = (entries: readonly number[], sign: 1 | -1) =>
    entries.map((entry) => ranked.get(entry)!).reduce((a, b) =>
      sign * (b.score - a.score) > 0 ? b : a
    );
  if (left.length === 0) return undefined;
  const [better, worse] = [extreme(left, 1), extreme(taken, -1)];
  return better.score - worse.score <= better.tolerance + worse.tolerance
    ? undefined
    : `it lacks ${left[0]} and has ${taken[0]}`;
}

/** Rows of a query in the index: J rows of c, and J weights. */
interface IndexQuery {
  readonly rows: readonly Float64Array[];
  readonly weights: readonly number[];
}

async function readQuery(gpu: Gpu, { q, w }: IndexInputs, row: number): Promise<IndexQuery> {
  const read = async (tensor: Tensor, head: number) =>
    Float64Array.from(await readRows(gpu, tensor, { head, first: row, count: 1 }));
  const heads = Array.from({ length: q.heads }, (_, head) => head);
  const rows = await Promise.all(heads.map((head) => read(q, head)));
  const weights = await Promise.all(heads.map((head) => read(w, head)));
  return { rows, weights: weights.map(([weight]) => weight) };
}

/** The score of a key, and how far f32 may be off; `roundings`: of the key itself. */
function scoreOf(
  { rows, weights }: IndexQuery,
  keys: { readonly key: ArrayLike<number>; readonly size: ArrayLike<number>; readonly at: number },
  roundings: number,
): Ranked {
  const { key, size, at } = keys;
  let score = 0;
  let most = 0;
  for (const [j, row] of rows.entries()) {
    let product = 0;
    let products = 0;
    for (let c = 0; c < row.length; c++) {
      product += row[c] * key[at + c];
      products += Math.abs(row[c]) * size[at + c];
    }
    score += weights[j] * Math.max(0, product);
    most += Math.abs(weights[j]) * products;
  }
  const terms = rows[0].length + rows.length + 4 + roundings;
  return { score, tolerance: terms * UNIT_ROUNDOFF * most };
}

/** What a check of lists found. */
export interface TokenOutcome {
  readonly parts: readonly Part[];
  readonly selection: TokenSelectionRecord;
}

/** Queries, the last of the sample, whose lists are held against those of all tokens' scores. */
const MOST_WHOLE = 4;

/** Checks the lists of sampled queries, and describes them. */
export async function checkTokens(
  gpu: Gpu,
  prepared: Layer,
  options: CheckOptions & { sample: HeadSample; tokens: Int32Array },
): Promise<TokenOutcome> {
  const { implementation, problem, sample, tokens } = options;
  const { index, readBlocks } = prepared.outputs;
  if (!index) throw new TypeError("check tokens: the implementation returns no index");
  const { context } = problem.shape;
  const selector = implementation.tokens!;
  const width = selector.width(problem);
  const blocks = selector.blocks(problem);
  const kept = blocks && await readBlocks!();
  const { rows } = sample;
  const queries = await Promise.all(rows.map((row) => readQuery(gpu, index, row)));
  const dim = index.k.dim;
  const ranked = rows.map(() => new Map<number, Ranked>());
  const sums = blocks && {
    key: new Float64Array(Math.ceil(context / blocks.blockRows) * dim),
    size: new Float64Array(Math.ceil(context / blocks.blockRows) * dim),
  };
  // Where blocks are ranked first: scores of the tokens that were not ranked, too.
  const whole = rows.map((row, n) =>
    blocks && n >= rows.length - MOST_WHOLE ? new Float64Array(row + 1) : undefined
  );
  const keptOf = rows.map((row) => kept && new Set(tokensOf(kept, blocks!.blockCount, row)));
  for (const range of chunksOf(0, rows.at(-1)! + 1, CHUNK_ROWS)) {
    const key = Float64Array.from(await readRows(gpu, index.k, { head: 0, ...range }));
    const size = key.map(Math.abs);
    for (let i = 0; i < range.count; i++) {
      const token = range.first + i;
      const block = blocks ? Math.floor(token / blocks.blockRows) : 0;
      for (let c = 0; sums && c < dim; c++) {
        sums.key[block * dim + c] += key[i * dim + c];
        sums.size[block * dim + c] += size[i * dim + c];
      }
      for (const [n, row] of rows.entries()) {
        const skipped = keptOf[n] && !keptOf[n].has(block);
        if (token > row || skipped && !whole[n]) continue;
        const found = scoreOf(queries[n], { key, size, at: i * dim }, 0);
        if (whole[n]) whole[n][token] = found.score;
        if (!skipped) ranked[n].set(token, found);
      }
    }
  }
  const found = rows.flatMap((row, n) => {
    const why = whyNotTop(tokensOf(tokens, width, row), { ranked: ranked[n], width });
    return why === undefined ? [] : [`row ${row}: ${why}`];
  });
  const parts = [partOf("selected tokens", { rows, found })];
  const lists = rows.map((row) => tokensOf(tokens, width, row));
  const selection: TokenSelectionRecord = {
    ...describeTokens(lists, { rows, width }),
    ...(blocks && { whole: compareWithWhole(lists, { scores: whole, width }) }),
  };
  if (!blocks || !sums || !kept) return { parts, selection };
  const wrong = rows.flatMap((row, n) => {
    const own = Math.floor(row / blocks.blockRows);
    const means = new Map<number, Ranked>();
    for (let block = 0; block <= own; block++) {
      // The own block is not ranked, so its mean may hold any tokens.
      const count = Math.min(blocks.blockRows, context - block * blocks.blockRows);
      const { score, tolerance } = scoreOf(
        queries[n],
        { ...sums, at: block * dim },
        blocks.blockRows,
      );
      means.set(block, { score: score / count, tolerance: tolerance / count });
    }
    const forced = own < blocks.blockCount ? [] : [0, own];
    const why = whyNotTop(tokensOf(kept, blocks.blockCount, row), {
      ranked: means,
      width: blocks.blockCount,
      forced,
    });
    return why === undefined ? [] : [`row ${row}: ${why}`];
  });
  return { parts: [partOf("kept blocks", { rows, found: wrong }), ...parts], selection };
}

/** How near the selected tokens are to their queries. */
function describeTokens(
  lists: readonly Int32Array[],
  { rows, width }: { readonly rows: readonly number[]; readonly width: number },
): Pick<TokenSelectionRecord, "queries" | "tokens" | "near" | "expected"> {
  let [tokens, near, expected] = [0, 0, 0];
  for (const [n, list] of lists.entries()) {
    const row = rows[n];
    // Queries with as few tokens before them select all.
    if (row < width) continue;
    tokens += list.length;
    near += list.filter((token) => token > row - width).length;
    expected += list.length * width / (row + 1);
  }
  return { queries: rows.filter((row) => row >= width).length, tokens, near, expected };
}

/** How many tokens of some lists the scores of all tokens would select too. */
function compareWithWhole(
  lists: readonly Int32Array[],
  { scores, width }: {
    readonly scores: readonly (Float64Array | undefined)[];
    readonly width: number;
  },
): NonNullable<TokenSelectionRecord["whole"]> {
  let [queries, tokens, same] = [0, 0, 0];
  for (const [n, list] of lists.entries()) {
    const own = scores[n];
    if (!own || own.length <= width) continue;
    const threshold = own.toSorted()[own.length - width];
    const listed = new Set(list);
    // Of equal scores the smaller token is first.
    let equal = width - own.filter((score) => score > threshold).length;
    for (const [token, score] of own.entries()) {
      const selected = score > threshold || score === threshold && equal-- > 0;
      if (selected && listed.has(token)) same++;
    }
    queries++;
    tokens += width;
  }
  return { queries, tokens, same };
}

function partOf(
  name: string,
  { rows, found }: { rows: readonly number[]; found: readonly string[] },
): Part {
  return {
    name,
    passed: found.length === 0,
    maxError: null,
    tolerance: null,
    detail: found.length === 0
      ? `${rows.length} lists as float64 scores rank them, within rounding`
      : `of ${rows.length} lists ${found.length} are wrong; ${found[0]}`,
  };
}
