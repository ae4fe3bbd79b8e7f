/**
 * The gradient of SwiGLU. The forward pass is an epilogue of matrix products.
 *
 * Shapes: da and act `[rows, width]`, gates and values in turn `[rows, 2·width]`, all in the type
 * that products read.
 *
 * Numerics: f32, rounded to storage once. act is that of the forward pass: both start from the
 * stored gates and values.
 *
 * @module
 */
import code from "./swiglu_backward.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireDType, requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { quadCode } from "../quads.ts";

const PARAMS = { quads: "u32", gridWidth: "u32" } as const;

/** What to plan for. */
export interface SwigluOptions {
  /** Rows, tokens. */
  readonly rows: number;
  /** Width of the activation; a multiple of 8. */
  readonly width: number;
  /** Storage. */
  readonly dtype: DType;
}

/** The plan of the gradient. */
export type SwigluBackwardPlan = PassPlan<SwigluBackwardBindings, typeof PARAMS>;

/** Its buffers. */
export interface SwigluBackwardBindings {
  /** da, `[rows, width]`. */
  readonly gradient: BufferSlice;
  /** `[rows, 2·width]`. */
  readonly gateUp: BufferSlice;
  /** `[rows, 2·width]`, written. */
  readonly gateUpGradient: BufferSlice;
  /** `[rows, width]`, written. */
  readonly activation: BufferSlice;
}

/** Least bytes: da, gates and values read, their gradients and act written. */
export function swigluBackwardBytes({ rows, width, dtype }: SwigluOptions): number {
  return 6 * rows * width * bytesPerElement(dtype);
}

/** Plans the gradient. */
export function planSwigluBackward({ rows, width, dtype }: SwigluOptions): SwigluBackwardPlan {
  const action = "plan swiglu backward";
  requireWhole(action, "rows", rows);
  requireWhole(action, "width", width);
  requireWhole(action, "rows * width", rows * width, { most: 2 ** 31 });
  requireDType(action, dtype);
  if (width % 8 !== 0) throw new RangeError(`${action}: width ${width} is not a multiple of 8`);
  const bytes = rows * width * bytesPerElement(dtype);
  const quads = rows * width / 4;
  const [x, y] = foldGrid(Math.ceil(quads / 256));
  return {
    pipeline: {
      label: `swiglu backward ${dtype}`,
      bindings: ["read", "read", "read-write", "read-write", "uniform"],
      code: `${code}\n${quadCode(dtype)}`,
    },
    layout: PARAMS,
    params: { quads, gridWidth: x },
    workgroups: [x, y, 1],
    bytes: { gradient: bytes, gateUp: 2 * bytes, gateUpGradient: 2 * bytes, activation: bytes },
  };
}

/** Compiles the gradient. */
export function createSwigluBackward(
  gpu: Gpu,
  plan: SwigluBackwardPlan,
): Promise<Pass<SwigluBackwardBindings>> {
  return createPass<SwigluBackwardBindings>(gpu, plan);
}
