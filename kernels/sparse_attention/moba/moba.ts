/**
 * Mixture of Block Attention (Lu et al., arXiv 2502.13189; MoonshotAI/MoBA): every query of every
 * head attends to its own block of keys up to itself, and to the earlier blocks whose mean key has
 * the largest products with it. Scores and lists carry no gradient.
 *
 * A query's list is selected on the device (`selectors/block_selection.ts`); attention is dense
 * attention's kernels over queries gathered by block (`gathered_queries/gathered_plan.ts`).
 *
 * @module
 */
import type {
  Implementation,
  OptionDescriptor,
  Problem,
  RankedBlocks,
  RowSpan,
} from "../../implementation.ts";
import { requireProblem } from "../../layer_inputs.ts";
import { requireOptions } from "../../options.ts";
import { BLOCK_UNIT } from "../gathered_queries/gathered_plan.ts";
import { MOST_SELECTED } from "../selectors/block_selection.ts";
import { compileBlockLayer, planBlockLayer, prepareBlockLayer } from "./moba_layer.ts";

const OPTIONS: readonly OptionDescriptor[] = [
  {
    name: "block",
    letter: "b",
    flag: "block",
    least: BLOCK_UNIT,
    multipleOf: BLOCK_UNIT,
    rule: true,
    // Matrix units take blocks of whole tiles.
    ruleStep: 2 * BLOCK_UNIT,
    rounding: "down",
    initial: 512,
    help: "keys of a block",
    sweep: "Block",
  },
  {
    name: "topk",
    letter: "k",
    flag: "topk",
    least: 1,
    initial: 3,
    help: "blocks that a query attends to, its own included",
    sweep: "Blocks of a query",
  },
];

/**
 * The options of a problem.
 *
 * @throws {RangeError} naming the option and the limit.
 */
function optionsOf(action: string, problem: Problem): { block: number; count: number } {
  requireProblem(action, problem);
  requireOptions(OPTIONS, problem.options ?? {}, action);
  const { block, topk: count } = problem.options as { block: number; topk: number };
  const blocks = Math.ceil(problem.shape.context / block);
  if (Math.min(count, blocks) > MOST_SELECTED) {
    throw new RangeError(
      `${action}: topk ${count} of ${blocks} blocks exceeds the limit of ${MOST_SELECTED}`,
    );
  }
  return { block, count };
}

/** Keys that a query sees, from its list of blocks. */
export function blockSpans(
  list: ArrayLike<number>,
  { row, block }: { readonly row: number; readonly block: number },
): readonly RowSpan[] {
  const spans: { first: number; end: number }[] = [];
  for (let n = 0; n < list.length && list[n] >= 0; n++) {
    const first = list[n] * block;
    const end = Math.min(first + block, row + 1);
    const last = spans.at(-1);
    if (last?.end === first) last.end = end;
    else spans.push({ first, end });
  }
  return spans;
}

/**
 * The blocks before a query's own, by the products of the query with their mean keys, in float64.
 */
function rank(keys: ArrayLike<number>, { shape, options }: Problem) {
  const { context: rows, headDim: d } = shape;
  const block = options!.block!;
  const whole = Math.floor(rows / block);
  const means = new Float64Array(whole * d);
  const sizes = new Float64Array(whole * d);
  for (let row = 0; row < whole * block; row++) {
    const at = Math.floor(row / block) * d;
    for (let c = 0; c < d; c++) {
      means[at + c] += keys[row * d + c] / block;
      sizes[at + c] += Math.abs(keys[row * d + c]) / block;
    }
  }
  return (row: number, query: ArrayLike<number>): RankedBlocks => {
    const own = Math.floor(row / block);
    const scores = new Float64Array(own);
    let largest = 0;
    for (let b = 0; b < own; b++) {
      let size = 0;
      for (let c = 0; c < d; c++) {
        scores[b] += query[c] * means[b * d + c];
        size += Math.abs(query[c]) * sizes[b * d + c];
      }
      largest = Math.max(largest, size);
    }
    // Roundings of a mean, added by one of at least 4 threads, and of a product of d terms, at
    // most.
    return { scores, tolerance: (block / 4 + 64 + d) * 2 ** -24 * largest, forced: [own] };
  };
}

/** Blocks that a short context has several of. */
const SHORT = { block: BLOCK_UNIT, topk: 3 };

/** Rows of the problem that stands for a longer one: odd, past every tile size. */
const SHORT_CONTEXT = 193;

/** Mixture of Block Attention. */
export const moba: Implementation = {
  name: "moba",
  title: "MoBA, selected blocks",
  family: "sparse",
  directions: ["forward", "backward", "forward-backward"],
  options: OPTIONS,
  presets: [
    { name: "published", options: { block: 512, topk: 3 } },
    { name: "scaled", options: { block: "N/64", topk: 3 } },
    // As many pairs as a Lighthouse layer with k = N/64, L = 3, p = 4: 9N/512 keys a query, in 2½
    // blocks.
    { name: "matched", options: { block: "9N/1280", topk: 3 } },
  ],
  style: { color: { light: "#9c3d5a", dark: "#e58aa6" }, mark: "star" },
  selector: {
    width: ({ options }) => options!.topk!,
    visible: (list, row, { options }) => blockSpans(list, { row, block: options!.block! }),
    rank,
  },
  shortOptions: () => SHORT,
  inTurns: {
    cuts: { turnQueries: 64, partQueries: 64 },
    // Matrix units take blocks of whole tiles.
    options: { block: 2 * BLOCK_UNIT },
  },
  smallest: (problem) => {
    const { block = SHORT.block, topk = SHORT.topk } = problem.options ?? {};
    // Matrix units take blocks of whole tiles.
    const short = block % (2 * BLOCK_UNIT) === 0 ? 2 * BLOCK_UNIT : BLOCK_UNIT;
    return {
      ...problem,
      shape: { ...problem.shape, heads: 2, context: SHORT_CONTEXT },
      options: { block: Math.min(block, short), topk: Math.min(topk, SHORT.topk) },
    };
  },
  plan: (gpu, problem) => planBlockLayer(gpu, problem, optionsOf("plan moba", problem)).plan,
  compile: async (gpu, problem) =>
    await compileBlockLayer(gpu, problem, optionsOf("compile moba", problem)),
  prepare: async (gpu, problem, given) =>
    await prepareBlockLayer(gpu, problem, {
      ...given,
      ...optionsOf("prepare moba", problem),
      name: "moba",
    }),
};
