/**
 * AdamW on f32 masters, with the f16 copy that products read.
 *
 * Shapes: master, moments and gradient f32 `[size]`, copy f16 `[size]` where there is one.
 * Gradients are zeroed after use.
 *
 * Numerics: f32. The step state says by how much gradients are unscaled and clipped, and whether
 * the step is skipped: then nothing but the gradients changes.
 *
 * @module
 */
import code from "./adamw.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { quadCode } from "../quads.ts";
import type { Optimizer } from "./optimizer_options.ts";
import { STEP_STATE_BYTES, STEP_STATE_STRUCT } from "./step_state.ts";

const PARAMS = {
  quads: "u32",
  gridWidth: "u32",
  firstDecay: "f32",
  secondDecay: "f32",
  epsilon: "f32",
  weightDecay: "f32",
} as const;

/** Buffers. */
export interface AdamwBindings {
  /** The step state. */
  readonly state: BufferSlice;
  /** f32 `[size]`, zeroed. */
  readonly gradient: BufferSlice;
  /** First moments, f32 `[size]`, changed. */
  readonly first: BufferSlice;
  /** Second moments, f32 `[size]`, changed. */
  readonly second: BufferSlice;
  /** Masters, f32 `[size]`, changed. */
  readonly weights: BufferSlice;
  /** f16 `[size]`, written, where the plan has a copy. */
  readonly copy?: BufferSlice;
}

/** The plan. */
export type AdamwPlan = PassPlan<AdamwBindings, typeof PARAMS>;

/** Least bytes: gradient, moments and master read and written, the copy written. */
export function adamwBytes({ size, copy }: { size: number; copy: boolean }): number {
  return size * (8 * 4 + (copy ? 2 : 0));
}

/** Plans the update of `size` parameters, a multiple of 4. `copy`: products read an f16 copy. */
export function planAdamw(
  { size, copy, optimizer }: {
    readonly size: number;
    readonly copy: boolean;
    readonly optimizer: Optimizer;
  },
): AdamwPlan {
  requireWhole("plan adamw", "size", size, { least: 4 });
  if (size % 4 !== 0) throw new RangeError(`plan adamw: size ${size} is not a multiple of 4`);
  const quads = size / 4;
  const [x, y] = foldGrid(Math.ceil(quads / 256));
  const { firstDecay, secondDecay, epsilon, weightDecay } = optimizer;
  const copyCode = copy
    ? [
      quadCode("f16"),
      "@group(0) @binding(5) var<storage, read_write> copy: array<Quad>;",
      "@group(0) @binding(6) var<uniform> params: Params;",
      "fn storeCopy(i: u32, p: vec4f) { copy[i] = packQuad(p); }",
    ]
    : [
      "@group(0) @binding(5) var<uniform> params: Params;",
      "fn storeCopy(i: u32, p: vec4f) {}",
    ];
  const bytes = {
    state: STEP_STATE_BYTES,
    gradient: size * 4,
    first: size * 4,
    second: size * 4,
    weights: size * 4,
  };
  const written = Array<"read-write">(copy ? 5 : 4).fill("read-write");
  return {
    pipeline: {
      label: copy ? "adamw with a copy" : "adamw",
      bindings: ["read", ...written, "uniform"],
      code: [code, STEP_STATE_STRUCT, ...copyCode, ""].join("\n"),
    },
    layout: PARAMS,
    params: { quads, gridWidth: x, firstDecay, secondDecay, epsilon, weightDecay },
    workgroups: [x, y, 1],
    bytes: copy ? { ...bytes, copy: size * 2 } : bytes as AdamwPlan["bytes"],
  };
}

/** Compiles the update. */
export function createAdamw(gpu: Gpu, plan: AdamwPlan): Promise<Pass<AdamwBindings>> {
  return createPass<AdamwBindings>(gpu, plan);
}
