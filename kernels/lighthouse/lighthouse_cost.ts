/**
 * FLOP and minimum bytes of a Lighthouse layer by stage (specification, section 8).
 *
 * FLOP count only attention and scorers, as in the paper's accounting; bytes are what must cross
 * the memory bus if nothing is read or written twice within a stage.
 *
 * @module
 */
import {
  denseBackwardBytes,
  denseBackwardFlops,
  denseForwardBytes,
  denseForwardFlops,
} from "../dense_attention/dense_attention_cost.ts";
import { bytesPerElement } from "../gpu/buffers.ts";
import type { AttentionShape, StagePlan } from "../implementation.ts";
import type { LighthouseGeometry } from "./lighthouse_geometry.ts";

/** Forward stages of the norm-scorer layer, in order. */
export const STAGES = ["score-and-pool", "select", "gather", "attention", "scatter"] as const;

/** Stages of the backward pass, in order; the same for all scorers. */
export const BACKWARD_STAGES = [
  "gather-gradient",
  "attention-backward",
  "scatter-gradient",
] as const;

/**
 * Cost of each forward stage, in order.
 *
 * @param options `scores`: cost of a scorer with its own passes. Default: norm scores, written
 * while pooling. `gathers`: whether the selection gathers, in one stage. Default false.
 */
export function lighthouseForwardCost(
  shape: AttentionShape,
  geometry: LighthouseGeometry,
  { scores: score, gathers = false }: {
    readonly scores?: { readonly flops: number; readonly bytes: number };
    readonly gathers?: boolean;
  } = {},
): StagePlan[] {
  const { heads, headDim, dtype } = shape;
  const { context, entries, pooledEntries, gathered } = geometry;
  const row = heads * headDim * bytesPerElement(dtype);
  const size = { heads, rows: gathered, headDim };
  // Selection does not read the scores of level 0.
  const ranked = gathered - geometry.pooling * geometry.k;
  const selecting = 2 * heads * ranked * 4 + heads * gathered * 4;
  const gathering = 2 * 3 * gathered * row;
  const pooling = 3 * (context + pooledEntries) * row;
  const moving = (name: string, bytes: number): StagePlan => ({ name, flops: 0, bytes });
  return [
    ...(score
      ? [{ name: "score", flops: score.flops, bytes: score.bytes }, moving("pool", pooling)]
      : [moving("score-and-pool", pooling + 2 * heads * entries * 4)]),
    ...gathers
      ? [moving("select-and-gather", selecting + gathering)]
      : [moving("select", selecting), moving("gather", gathering)],
    {
      name: "attention",
      flops: denseForwardFlops(size),
      bytes: denseForwardBytes({ ...size, dtype }),
    },
    moving("scatter", (gathered + context) * row),
  ];
}

/** Cost of each stage of the backward pass, in order. */
export function lighthouseBackwardCost(
  shape: AttentionShape,
  geometry: LighthouseGeometry,
): StagePlan[] {
  const { heads, headDim, dtype } = shape;
  const { context, gathered } = geometry;
  const row = heads * headDim * bytesPerElement(dtype);
  // Gathered gradients are f32.
  const wide = heads * headDim * 4;
  const size = { heads, rows: gathered, headDim };
  const [gather, attention, scatter] = BACKWARD_STAGES;
  return [
    { name: gather, flops: 0, bytes: context * row + gathered * wide },
    {
      name: attention,
      flops: denseBackwardFlops(size),
      bytes: denseBackwardBytes({ ...size, dtype, gradientType: "f32" }),
    },
    { name: scatter, flops: 0, bytes: 3 * (gathered * wide + context * row) },
  ];
}
