/**
 * Causal sliding-window attention with sinks: query t sees key j when j ≤ t and (t - j < window or
 * j < sinks), all heads alike. Longformer's local attention with its global tokens in front (arXiv
 * 2004.05150), StreamingLLM's cache (arXiv 2309.17453), `window_size` of flash-attention.
 *
 * A window counts the query itself: 1 is the diagonal, N or more dense attention. The kernels are
 * those of dense attention with a walk over tiles (`window_walk.ts`); sums, types and tolerances
 * are theirs.
 *
 * @module
 */
import { createDenseAttention, planDenseAttention } from "../../dense_attention/dense_attention.ts";
import { denseImplementation } from "../../dense_attention/dense_layer.ts";
import { fewHeads } from "../../key_heads.ts";
import type { Implementation, OptionDescriptor, Problem, RowSpan } from "../../implementation.ts";
import { windowWalk } from "./window_walk.ts";

/**
 * A window with about the pairs of a Lighthouse layer with k = N/64, L = 3, p = 4, whose S = 3N/16
 * gathered rows attend to 9/512·N² pairs a head.
 */
const MATCHED = "9N/512";

const OPTIONS: readonly OptionDescriptor[] = [
  {
    name: "window",
    letter: "w",
    flag: "window",
    least: 1,
    rule: true,
    initial: 512,
    help: "keys up to and with the query itself",
    sweep: "Window",
  },
  {
    name: "sinks",
    letter: "s",
    flag: "sinks",
    least: 0,
    initial: 4,
    help: "keys in front that all queries see",
  },
];

/** Both options of a problem. */
function windowOf({ options = {}, shape }: Problem) {
  const { window, sinks } = options as { window: number; sinks: number };
  if (sinks > shape.context) {
    throw new RangeError(
      `plan sliding-window: ${sinks} sinks are more than the context has rows, ${shape.context}`,
    );
  }
  return { window, sinks };
}

/** Keys that a query sees: the sinks, then the window. */
function visible(row: number, problem: Problem): readonly RowSpan[] {
  const { window, sinks } = windowOf(problem);
  const first = Math.max(0, row + 1 - window);
  return sinks < first && sinks > 0
    ? [{ first: 0, end: sinks }, { first, end: row + 1 }]
    : [{ first: sinks > 0 ? 0 : first, end: row + 1 }];
}

/** A window that a short context is longer than. */
function shortOptions(context: number) {
  return { window: Math.ceil(context / 4), sinks: Math.min(4, Math.floor(context / 4)) };
}

/** Rows of the problem that stands for a longer one: odd, past every tile size. */
const SHORT_CONTEXT = 193;

/** Causal sliding-window attention with sinks. */
export const slidingWindow: Implementation = denseImplementation({
  name: "sliding-window",
  title: "sliding window with sinks",
  family: "sparse",
  descriptors: OPTIONS,
  presets: [
    { name: "published", options: { window: 512, sinks: 4 } },
    { name: "wide", options: { window: 4096, sinks: 4 } },
    { name: "matched", options: { window: MATCHED, sinks: 4 } },
  ],
  style: { color: { light: "#5b7f00", dark: "#a3cc3b" }, mark: "square" },
  visible,
  shortOptions,
  smallest: (problem) => {
    const short = shortOptions(SHORT_CONTEXT);
    const { window = short.window, sinks = short.sinks } = problem.options ?? {};
    return {
      ...problem,
      shape: { ...problem.shape, ...fewHeads(problem.shape), context: SHORT_CONTEXT },
      options: { window: Math.min(window, short.window), sinks: Math.min(sinks, short.sinks) },
    };
  },
  walk: (problem) => {
    const { heads, context: rows } = problem.shape;
    const { window, sinks } = windowOf(problem);
    return window < rows ? windowWalk({ heads, rows, window, sinks }) : undefined;
  },
  create: (gpu, size) => createDenseAttention(gpu, planDenseAttention(gpu, size)),
});
