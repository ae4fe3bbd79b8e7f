/**
 * The f16 copy of f32 masters after they were made or read from a file. It is rounded on the
 * device, as the optimiser rounds it: subnormals of f16 keep the device's own rounding.
 *
 * @module
 */
import code from "./round_weights.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { quadCode } from "../quads.ts";

const PARAMS = { quads: "u32", gridWidth: "u32" } as const;

/** Buffers. */
export interface RoundWeightsBindings {
  /** f32 `[size]`. */
  readonly weights: BufferSlice;
  /** f16 `[size]`, written. */
  readonly copy: BufferSlice;
}

/** The plan. */
export type RoundWeightsPlan = PassPlan<RoundWeightsBindings, typeof PARAMS>;

/** Plans the copy of `size` weights, a multiple of 4. */
export function planRoundWeights({ size }: { readonly size: number }): RoundWeightsPlan {
  requireWhole("plan copy of weights", "size", size, { least: 4 });
  const [x, y] = foldGrid(Math.ceil(size / 1024));
  return {
    pipeline: {
      label: "round weights",
      bindings: ["read", "read-write", "uniform"],
      code: `${code}\n${quadCode("f16")}`,
    },
    layout: PARAMS,
    params: { quads: size / 4, gridWidth: x },
    workgroups: [x, y, 1],
    bytes: { weights: size * 4, copy: size * 2 },
  };
}

/** Compiles the pass. */
export function createRoundWeights(
  gpu: Gpu,
  plan: RoundWeightsPlan,
): Promise<Pass<RoundWeightsBindings>> {
  return createPass<RoundWeightsBindings>(gpu, plan);
}
