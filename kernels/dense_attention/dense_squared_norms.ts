/**
 * Squared norms of the rows of dense causal attention, computed within residue classes: the
 * tokens i, i + δ, i + 2δ, … of a head form one sequence, causal by position, and are read in
 * place.
 *
 * Shapes: Q, K, V `[heads, N, d]`; squared norms f32 `[heads, resultRows]`, of which the first N
 * are written. Neither the rows nor a log-sum-exp is stored.
 *
 * @module
 */
import type { BufferSlice, Dispatch } from "../gpu/buffers.ts";
import type { Gpu } from "../gpu/device.ts";
import { requireWhole } from "../gpu/require.ts";
import { planVariant } from "./dense_attention.ts";
import { denseForwardBytes, denseForwardFlops } from "./dense_attention_cost.ts";
import { createLaunch } from "./dense_launch.ts";
import { requireDenseOptions } from "./dense_options.ts";
import type { DenseAttentionOptions, DenseAttentionPlan } from "./types.ts";

/** What to plan for: one block of heads. */
export interface SquaredNormsOptions extends DenseAttentionOptions {
  /** δ, divides `rows`. Default 1: one sequence a head. */
  readonly dilation?: number;
  /** Length of one head in the result, at least `rows`. Default `rows`. */
  readonly resultRows?: number;
}

/** A planned launch; `rows` of its options counts all rows of a head. */
export interface SquaredNormsPlan {
  readonly options: SquaredNormsOptions;
  /** Attention over one residue class; its heads are the sequences. */
  readonly launch: DenseAttentionPlan;
  /** 2·(N/δ)²·d·δ·H. */
  readonly flops: number;
  /** Minimum bytes: Q, K, V read, N norms per head written. */
  readonly bytes: number;
}

/**
 * Plans a launch.
 *
 * @throws {RangeError} when δ does not divide N, or the kernel cannot run the shape.
 */
export function planSquaredNorms(
  gpu: Pick<Gpu, "capabilities" | "adapter">,
  options: SquaredNormsOptions,
): SquaredNormsPlan {
  const action = "plan squared norms";
  requireDenseOptions(action, gpu, options);
  const { heads, rows, headDim, dtype, flopsPerDispatch } = options;
  const dilation = options.dilation ?? 1;
  requireWhole(action, "resultRows", options.resultRows ?? rows, { least: rows });
  if (!Number.isInteger(dilation) || dilation < 1 || rows % dilation !== 0) {
    throw new RangeError(`${action}: dilation ${dilation} does not divide ${rows} rows`);
  }
  const launch = planVariant(gpu, {
    ...options,
    rows: rows / dilation,
    // A dispatch covers the same range of every residue class.
    flopsPerDispatch: flopsPerDispatch === undefined ? undefined : flopsPerDispatch / dilation,
  }, { result: "squared-norms", rowStride: dilation });
  const ranges = launch.ranges.map((range) => ({ ...range, flops: range.flops * dilation }));
  return {
    options,
    launch: { ...launch, ranges },
    flops: denseForwardFlops({ heads: heads * dilation, rows: rows / dilation, headDim }),
    bytes: denseForwardBytes({ heads, rows, headDim, dtype }) * 3 / 4 + heads * rows * 4,
  };
}

/** A compiled kernel. */
export interface SquaredNorms {
  readonly plan: SquaredNormsPlan;
  /** `squaredNorms` is written: f32 `[heads, resultRows]`. */
  readonly bind: (
    buffers: { q: BufferSlice; k: BufferSlice; v: BufferSlice; squaredNorms: BufferSlice },
  ) => Dispatch[];
  readonly destroy: () => void;
}

/**
 * Compiles the planned kernel.
 *
 * @throws {ShaderError} when the device refuses the shader.
 */
export async function createSquaredNorms(gpu: Gpu, plan: SquaredNormsPlan): Promise<SquaredNorms> {
  const { rows } = plan.options;
  const launch = await createLaunch(gpu, plan.launch, {
    resultRows: plan.options.resultRows ?? rows,
    rowStride: plan.options.dilation ?? 1,
    results: ["squared norms"],
  });
  return {
    plan,
    bind: ({ q, k, v, squaredNorms }) => launch.bind([q, k, v, squaredNorms]),
    destroy: launch.destroy,
  };
}
