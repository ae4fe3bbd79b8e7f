/**
 * Sums of squares of a gradient, a block at a time, for the global norm and for the flag of numbers
 * that are not finite. `finish_gradients.ts` adds up those of all gradients.
 *
 * Shapes: gradient f32 `[size]`, sums u32 `[blocks of all gradients, 2]`: bits of a sum of squares,
 * and 1 where one of its elements is not finite.
 *
 * @module
 */
import code from "./square_gradients.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";

const PARAMS = { quads: "u32", first: "u32", gridWidth: "u32" } as const;

/** Elements of a block. */
const BLOCK = 16384;

/** Buffers. */
export interface SquareGradientsBindings {
  /** f32 `[size]`. */
  readonly gradient: BufferSlice;
  /** u32 `[blocks of all gradients, 2]`, written from `first` on. */
  readonly sums: BufferSlice;
}

/** The plan. */
export type SquareGradientsPlan = PassPlan<SquareGradientsBindings, typeof PARAMS>;

/** Blocks of a gradient. */
export function gradientBlocks(size: number): number {
  return Math.ceil(size / BLOCK);
}

/** Plans the sums of a gradient of `size` elements, a multiple of 4, from the `first` one on. */
export function planSquareGradients(
  { size, first }: { readonly size: number; readonly first: number },
): SquareGradientsPlan {
  const action = "plan squares of gradients";
  requireWhole(action, "size", size, { least: 4 });
  requireWhole(action, "first", first, { least: 0 });
  if (size % 4 !== 0) throw new RangeError(`${action}: size ${size} is not a multiple of 4`);
  const [x, y] = foldGrid(gradientBlocks(size));
  return {
    pipeline: {
      label: "square gradients",
      bindings: ["read", "read-write", "uniform"],
      code,
    },
    layout: PARAMS,
    params: { quads: size / 4, first, gridWidth: x },
    workgroups: [x, y, 1],
    bytes: { gradient: size * 4, sums: (first + gradientBlocks(size)) * 8 },
  };
}

/** Compiles the sums. */
export function createSquareGradients(
  gpu: Gpu,
  plan: SquareGradientsPlan,
): Promise<Pass<SquareGradientsBindings>> {
  return createPass<SquareGradientsBindings>(gpu, plan);
}
