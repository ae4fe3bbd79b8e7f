/**
 * Native Sparse Attention (Yuan et al., arXiv 2502.11089) with mean compression: three branches
 * over one set of keys, weighted by gates. Compressed keys are the means of windows of keys; their
 * probabilities rank the blocks that the selected branch attends to; the third branch is a sliding
 * window.
 *
 * The paper's compression, projections and gates are learned; here compression is the mean, all
 * branches share K and V, and the gates are seeded: value/8 + ½ of the generator's value, for each
 * query head and branch.
 *
 * @module
 */
import type { Implementation } from "../../implementation.ts";
import { fewHeads } from "../../key_heads.ts";
import { nsaLastQuery } from "./nsa_last_query.ts";
import { nsaReference } from "./nsa_reference.ts";
import { blockSpans } from "../moba/moba.ts";
import { BLOCK_UNIT } from "../gathered_queries/gathered_plan.ts";
import { compileNsaLayer, planNsaLayer, prepareNsaLayer } from "./nsa_layer.ts";
import { NSA_OPTIONS, nsaOptions } from "./nsa_options.ts";

const PUBLISHED = {
  compressBlock: 32,
  compressStride: 16,
  block: 64,
  count: 16,
  initBlocks: 1,
  localBlocks: 2,
  window: 512,
  gateSeed: 1,
};

/** Sizes that a short context has several blocks of. */
const SHORT = {
  compressBlock: 16,
  compressStride: 8,
  block: 32,
  count: 4,
  initBlocks: 1,
  localBlocks: 2,
  window: 40,
};

/** Rows of the problem that stands for a longer one: odd, past every tile size. */
const SHORT_CONTEXT = 193;

/** Native Sparse Attention. */
export const nsa: Implementation = {
  name: "nsa",
  title: "NSA, three branches",
  note:
    "NSA cannot be matched to the pairs of Lighthouse: its compressed branch alone has N²/32 of " +
    "them at the published settings, more than the 9N²/512 of a matched layer.",
  family: "sparse",
  directions: ["forward", "backward", "forward-backward"],
  options: NSA_OPTIONS,
  sharedKeys: true,
  presets: [
    { name: "published", options: PUBLISHED },
    { name: "fla", options: { ...PUBLISHED, compressBlock: 64, compressStride: 64 } },
  ],
  style: { color: { light: "#00707a", dark: "#4cc3cf" }, mark: "wye" },
  selector: {
    width: ({ options }) => options!.count!,
    visible: (list, row, { options }) => blockSpans(list, { row, block: options!.block! }),
  },
  reference: nsaReference,
  lastQuery: nsaLastQuery,
  shortOptions: () => SHORT,
  inTurns: {
    cuts: { turnQueries: 64, sweepTurns: 2, partQueries: 64 },
    // Matrix units take blocks of whole tiles.
    options: { block: 2 * BLOCK_UNIT },
  },
  smallest: (problem) => {
    const { options = {} } = problem;
    // Matrix units take blocks of whole tiles.
    const block = (options.block ?? SHORT.block) % (2 * BLOCK_UNIT) === 0
      ? 2 * BLOCK_UNIT
      : BLOCK_UNIT;
    const least = Object.entries({ ...SHORT, block }).map(([name, value]) => [
      name,
      Math.min(value, options[name] ?? value),
    ]);
    return {
      ...problem,
      shape: { ...problem.shape, ...fewHeads(problem.shape), context: SHORT_CONTEXT },
      options: { ...options, ...Object.fromEntries(least) },
    };
  },
  plan: (gpu, problem) => planNsaLayer(gpu, problem, nsaOptions("plan nsa", problem)).plan,
  compile: async (gpu, problem) =>
    await compileNsaLayer(gpu, problem, nsaOptions("compile nsa", problem)),
  prepare: async (gpu, problem, given) =>
    await prepareNsaLayer(gpu, problem, {
      ...given,
      ...nsaOptions("prepare nsa", problem),
      name: "nsa",
    }),
};
