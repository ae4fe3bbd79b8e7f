/**
 * RMSNorm without a bias: `y = x·r·g`, `r = 1/√(mean(x²) + ε)`.
 *
 * Shapes: x f32 `[rows, columns]` (the residual stream), gain f32 `[columns]`, y `[rows, columns]`
 * in the type that products read, r f32 `[rows]`. Columns are a multiple of 8.
 *
 * Numerics: f32, the sum of a row in one fixed order; y is rounded to storage once.
 *
 * @module
 */
import code from "./rms_norm.wgsl" with { type: "text" };
import { type BufferSlice, bytesPerElement, type DType } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireDType, requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { quadCode } from "../quads.ts";

const PARAMS = { rows: "u32", gridWidth: "u32", epsilon: "f32" } as const;

/** ε of the paper's model. */
export const NORM_EPSILON = 1e-5;

/** What to plan for. */
export interface RmsNormOptions {
  /** Rows, tokens. */
  readonly rows: number;
  /** Elements of a row; a multiple of 8. */
  readonly columns: number;
  /** Storage of y. */
  readonly dtype: DType;
  /** ε. Default {@linkcode NORM_EPSILON}. */
  readonly epsilon?: number;
}

/** The plan of a norm. */
export type RmsNormPlan = PassPlan<RmsNormBindings, typeof PARAMS>;

/** Its buffers. */
export interface RmsNormBindings {
  /** f32 `[rows, columns]`. */
  readonly x: BufferSlice;
  /** f32 `[columns]`. */
  readonly gain: BufferSlice;
  /** `[rows, columns]`, written. */
  readonly y: BufferSlice;
  /** f32 `[rows]`, written: r. */
  readonly inverse: BufferSlice;
}

/**
 * Checks the sizes of a norm.
 *
 * @throws {TypeError} when the element type is unknown.
 * @throws {RangeError} naming the value that is out of range.
 */
export function requireNorm(action: string, { rows, columns, dtype }: RmsNormOptions): void {
  requireWhole(action, "rows", rows);
  requireWhole(action, "columns", columns, { least: 8, most: 16384 });
  requireWhole(action, "rows * columns", rows * columns, { most: 2 ** 32 - 1 });
  requireDType(action, dtype);
  if (columns % 8 !== 0) {
    throw new RangeError(`${action}: columns ${columns} is not a multiple of 8`);
  }
}

/** Threads that share a row: a power of two, at most 256, no more than its quads need. */
export function normThreads(columns: number): number {
  return Math.min(256, 2 ** Math.ceil(Math.log2(columns / 4)));
}

/** The constants of both passes. */
export function normConstants({ columns, dtype }: RmsNormOptions): string {
  return [
    `const threads = ${normThreads(columns)}u;`,
    `const columns = ${columns / 4}u;`,
    quadCode(dtype),
  ].join("\n");
}

/** Plans the forward pass. */
export function planRmsNorm(options: RmsNormOptions): RmsNormPlan {
  requireNorm("plan norm", options);
  const { rows, columns, dtype, epsilon = NORM_EPSILON } = options;
  const [x, y] = foldGrid(rows);
  return {
    pipeline: {
      label: `rms norm ${dtype}`,
      bindings: ["read", "read", "read-write", "read-write", "uniform"],
      code: `${code}\n${normConstants(options)}`,
    },
    layout: PARAMS,
    params: { rows, gridWidth: x, epsilon },
    workgroups: [x, y, 1],
    bytes: {
      x: rows * columns * 4,
      gain: columns * 4,
      y: rows * columns * bytesPerElement(dtype),
      inverse: rows * 4,
    },
  };
}

/** Compiles the forward pass. */
export function createRmsNorm(gpu: Gpu, plan: RmsNormPlan): Promise<Pass<RmsNormBindings>> {
  return createPass<RmsNormBindings>(gpu, plan);
}
