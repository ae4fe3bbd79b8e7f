/**
 * What a check of a layer is told, and what of it every kind of check reads.
 *
 * @module
 */
import type { DenseKernel } from "../../kernels/dense_attention/types.ts";
import type { LayerInputs, Problem } from "../../kernels/implementation.ts";
import type { Measurable } from "../plan/measurable.ts";
import { causal, type Visible } from "./row_spans.ts";

/** What is compared. */
export interface CheckOptions {
  readonly problem: Problem;
  /** What computed it: how selections and rows are compared follows from it. */
  readonly implementation: Pick<Measurable, "scorer" | "visible">;
  readonly inputs: LayerInputs;
  /** Seed of Q; K and V have the two after it. */
  readonly seed: number;
  /** `whole`: every row and tile of the last head, some of the first. `sampled`: some of both. */
  readonly extent: "whole" | "sampled";
  /** Which text of the backward kernels ran. Default: the one that the device gets. */
  readonly kernel?: DenseKernel;
  /** Whether the device flushes subnormals of f16 to zero. Default: it is asked. */
  readonly flushes?: boolean;
  readonly signal?: AbortSignal;
}

/** Gradients do not depend on the scorer once the selection is known. */
export function wholeGradients({ scorer }: CheckOptions["implementation"]): boolean {
  return scorer === undefined || scorer.exactSelection;
}

/** Keys that a row of a head sees, as the implementation says. */
export function visibleOf({ implementation, problem }: CheckOptions, head: number): Visible {
  const { visible } = implementation;
  return visible ? (row) => visible(row, problem, head) : causal;
}
