/**
 * The options of a check of a layer, and what every kind of check reads from them.
 *
 * @module
 */
import type { DenseKernel } from "../../kernels/dense_attention/types.ts";
import type { LayerInputs, Problem } from "../../kernels/implementation.ts";
import type { Measurable } from "../plan/measurable.ts";
import { causal, type Visible } from "./row_spans.ts";
import { visibleTokens } from "./token_lists.ts";

/** What is compared. */
export interface CheckOptions {
  readonly problem: Problem;
  /** What computed it; this decides how selections and rows are compared. */
  readonly implementation: Pick<
    Measurable,
    "scorer" | "visible" | "selector" | "reference" | "tokens"
  >;
  readonly inputs: LayerInputs;
  /** Seed of Q; K and V use the next two. */
  readonly seed: number;
  /** `whole`: every row and tile of the last head, some of the first. `sampled`: some of both. */
  readonly extent: "whole" | "sampled";
  /** Which variant of the backward kernels ran. Default: the one that the device gets. */
  readonly kernel?: DenseKernel;
  /**
   * Lists of the implementation's selector, as the device chose them: `[heads, context, width]`.
   */
  readonly lists?: Int32Array;
  /** Tokens that the device selected for each query, `[context, width]`, padded with -1. */
  readonly tokens?: Int32Array;
  /** Whether the device flushes subnormals of f16 to zero. Default: it is tested. */
  readonly flushes?: boolean;
  readonly signal?: AbortSignal;
}

/** Gradients do not depend on the scorer once the selection is known. */
export function wholeGradients({ scorer }: CheckOptions["implementation"]): boolean {
  return scorer === undefined || scorer.exactSelection;
}

/** Keys that a row of a head sees, as the implementation says, or the lists that it selected. */
export function visibleOf(
  { implementation, problem, lists, tokens }: Pick<
    CheckOptions,
    "implementation" | "problem" | "lists" | "tokens"
  >,
  head: number,
): Visible {
  const { visible, selector, tokens: index } = implementation;
  if ((selector && !lists) || (index && !tokens)) {
    throw new TypeError("check outputs: the implementation returns no selection");
  }
  if (index && tokens) return visibleTokens(tokens, index.width(problem));
  if (selector && lists) {
    const width = selector.width(problem);
    const { context } = problem.shape;
    const first = head * context;
    return (row) =>
      selector.visible(
        lists.subarray((first + row) * width, (first + row + 1) * width),
        row,
        problem,
      );
  }
  return visible ? (row) => visible(row, problem, head) : causal;
}
