/**
 * The f16 copy of a matrix of weights, transposed: the products of the forward pass read it along
 * rows of outputs, as the gradients of inputs read the copy itself.
 *
 * @module
 */
import code from "./transpose_weights.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";

const ACTION = "plan transposed weights";

const PARAMS = { rows: "u32", columns: "u32" } as const;

/** Buffers. */
export interface TransposeWeightsBindings {
  /** f16 `[rows, columns]`. */
  readonly copy: BufferSlice;
  /** f16 `[columns, rows]`, written. */
  readonly transposed: BufferSlice;
}

/** The plan. */
export type TransposeWeightsPlan = PassPlan<TransposeWeightsBindings, typeof PARAMS>;

/**
 * Plans the transposed copy of a matrix.
 *
 * @throws {RangeError} one line, when rows or columns are no multiple of 4.
 */
export function planTransposeWeights(
  { rows, columns }: { readonly rows: number; readonly columns: number },
): TransposeWeightsPlan {
  for (const [name, value] of Object.entries({ rows, columns })) {
    requireWhole(ACTION, name, value, { least: 4 });
    if (value % 4 !== 0) throw new RangeError(`${ACTION}: ${name} ${value} is not a multiple of 4`);
  }
  return {
    pipeline: { label: "transpose weights", bindings: ["read", "read-write", "uniform"], code },
    layout: PARAMS,
    params: { rows, columns },
    workgroups: [Math.ceil(columns / 64), Math.ceil(rows / 64), 1],
    bytes: { copy: rows * columns * 2, transposed: rows * columns * 2 },
  };
}

/** Compiles the pass. */
export function createTransposeWeights(
  gpu: Gpu,
  plan: TransposeWeightsPlan,
): Promise<Pass<TransposeWeightsBindings>> {
  return createPass<TransposeWeightsBindings>(gpu, plan);
}
