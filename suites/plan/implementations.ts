/**
 * Every implementation that can be measured. A new scorer, direction or peer is one more entry.
 *
 * @module
 */
import { dense } from "../../kernels/dense_attention/dense_layer.ts";
import { denseNaive } from "../../kernels/dense_attention/naive/dense_attention_naive.ts";
import {
  lighthouseDilated,
  lighthouseGla,
  lighthouseNorm,
} from "../../kernels/lighthouse/lighthouse_attention.ts";
import type { Direction, Implementation, LighthouseOptions } from "../../kernels/implementation.ts";
import type { Measurable } from "./measurable.ts";

/** An implementation and what the suites need to know of it. */
export interface Registration<T extends Measurable = Measurable> {
  /** What computes the layer. */
  readonly implementation: T;
  /** Which float64 reference its output must match. */
  readonly kind: "dense" | "lighthouse";
  /** The scorer, for Lighthouse. */
  readonly scorer?: LighthouseOptions["scorer"];
  /** What it can compute. */
  readonly directions: readonly Direction[];
  /** Somebody else's implementation, measured beside ours. */
  readonly peer?: boolean;
  /** For what cannot be cut into submissions: a longer execution is not asked of a driver. */
  readonly longestSeconds?: number;
}

const DIRECTIONS = ["forward", "backward", "forward-backward"] as const;

/** All implementations, the baseline first. */
export const IMPLEMENTATIONS: readonly Registration<Implementation>[] = [
  { implementation: dense, kind: "dense", directions: DIRECTIONS },
  { implementation: denseNaive, kind: "dense", directions: ["forward"] },
  lighthouse(lighthouseNorm, "norm"),
  lighthouse(lighthouseDilated, "dilated"),
  lighthouse(lighthouseGla, "gla"),
];

function lighthouse(
  implementation: Implementation,
  scorer: LighthouseOptions["scorer"],
): Registration<Implementation> {
  return { implementation, kind: "lighthouse", scorer, directions: DIRECTIONS };
}
