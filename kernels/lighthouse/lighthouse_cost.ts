/**
 * FLOP and least bytes of a Lighthouse layer by stage (specification, section 8).
 *
 * @module
 */
import { denseForwardBytes, denseForwardFlops } from "../dense_attention/dense_attention_cost.ts";
import { bytesPerElement } from "../gpu/buffers.ts";
import type { AttentionShape, StagePlan } from "../implementation.ts";
import type { LighthouseGeometry } from "./lighthouse_geometry.ts";

/** Stages of the norm-scorer layer, in order. */
export const STAGES = ["score-and-pool", "select", "gather", "attention", "scatter"] as const;

/**
 * Cost of each stage, forward. FLOP count attention alone, as in the paper's accounting; bytes are
 * what must cross the memory bus if nothing is read or written twice within a stage.
 */
export function lighthouseForwardCost(
  shape: AttentionShape,
  geometry: LighthouseGeometry,
): StagePlan[] {
  const { heads, headDim, dtype } = shape;
  const { context, entries, pooledEntries, gathered } = geometry;
  const row = heads * headDim * bytesPerElement(dtype);
  const size = { heads, rows: gathered, headDim };
  // Selection never looks at the scores of level 0.
  const ranked = gathered - geometry.pooling * geometry.k;
  const bytes: Record<(typeof STAGES)[number], number> = {
    "score-and-pool": 3 * (context + pooledEntries) * row + 2 * heads * entries * 4,
    "select": 2 * heads * ranked * 4 + heads * gathered * 4,
    "gather": 2 * 3 * gathered * row,
    "attention": denseForwardBytes({ ...size, dtype }),
    "scatter": (gathered + context) * row,
  };
  return STAGES.map((name) => ({
    name,
    flops: name === "attention" ? denseForwardFlops(size) : 0,
    bytes: bytes[name],
  }));
}
