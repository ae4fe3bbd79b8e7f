/**
 * Adds the losses of a batch, f32 `[rows]`, to the sum of the step, in one fixed order. Batches of
 * one step add up; `finish_gradients.ts` takes the sum.
 *
 * @module
 */
import code from "./sum_losses.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { STEP_STATE_BYTES, STEP_STATE_STRUCT } from "./step_state.ts";

const PARAMS = { rows: "u32" } as const;

/** Buffers. */
export interface SumLossesBindings {
  /** f32 `[rows]`. */
  readonly losses: BufferSlice;
  /** The step state. */
  readonly state: BufferSlice;
}

/** The plan of the sum. */
export type SumLossesPlan = PassPlan<SumLossesBindings, typeof PARAMS>;

/** Plans the sum. */
export function planSumLosses({ rows }: { readonly rows: number }): SumLossesPlan {
  requireWhole("plan sum of losses", "rows", rows, { most: 2 ** 30 });
  return {
    pipeline: {
      label: "sum losses",
      bindings: ["read", "read-write", "uniform"],
      code: `${code}\n${STEP_STATE_STRUCT}`,
    },
    layout: PARAMS,
    params: { rows },
    workgroups: [1, 1, 1],
    bytes: { losses: rows * 4, state: STEP_STATE_BYTES },
  };
}

/** Compiles the sum. */
export function createSumLosses(gpu: Gpu, plan: SumLossesPlan): Promise<Pass<SumLossesBindings>> {
  return createPass<SumLossesBindings>(gpu, plan);
}
