/**
 * Every implementation that can be measured. A new scorer, direction or peer is one more entry.
 *
 * @module
 */
import { dense } from "../kernels/dense_attention/dense_layer.ts";
import { denseNaive } from "../kernels/dense_attention/dense_attention_naive.ts";
import {
  lighthouseDilated,
  lighthouseGla,
  lighthouseNorm,
} from "../kernels/lighthouse/lighthouse_attention.ts";
import type { Direction, Implementation, LighthouseOptions } from "../kernels/implementation.ts";

/** An implementation and what the suites need to know of it. */
export interface Registration {
  readonly implementation: Implementation;
  /** Which float64 reference its output must match. */
  readonly kind: "dense" | "lighthouse";
  /** The scorer, for Lighthouse. */
  readonly scorer?: LighthouseOptions["scorer"];
  readonly directions: readonly Direction[];
}

const DIRECTIONS = ["forward", "backward", "forward-backward"] as const;

/** All implementations, the baseline first. */
export const IMPLEMENTATIONS: readonly Registration[] = [
  { implementation: dense, kind: "dense", directions: DIRECTIONS },
  { implementation: denseNaive, kind: "dense", directions: ["forward"] },
  lighthouse(lighthouseNorm, "norm"),
  lighthouse(lighthouseDilated, "dilated"),
  lighthouse(lighthouseGla, "gla"),
];

function lighthouse(
  implementation: Implementation,
  scorer: LighthouseOptions["scorer"],
): Registration {
  return { implementation, kind: "lighthouse", scorer, directions: DIRECTIONS };
}
