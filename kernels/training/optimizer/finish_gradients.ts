/**
 * What a step does with its gradients, decided on the device: the global norm, the factor that
 * unscales and clips them, the learning rate of the warm-up, and the loss scale of the next step. A
 * step whose gradients are not all finite is skipped and halves the scale; after so many clean
 * steps the scale is doubled. A line of the history keeps loss, norm, scale and whether the step
 * was skipped.
 *
 * Shapes: sums u32 `[count, 2]` (`square_gradients.ts`), history f32 `[steps, 4]`, a ring.
 *
 * @module
 */
import code from "./finish_gradients.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireWhole } from "../../gpu/require.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import type { Optimizer } from "./optimizer_options.ts";
import { STEP_STATE_BYTES, STEP_STATE_STRUCT } from "./step_state.ts";

const PARAMS = {
  count: "u32",
  tokens: "f32",
  mostNorm: "f32",
  learningRate: "f32",
  warmup: "f32",
  firstDecay: "f32",
  secondDecay: "f32",
  growthSteps: "u32",
  mostScale: "f32",
  historySteps: "u32",
} as const;

/** Lines of the history. */
export const HISTORY_STEPS = 4096;

/** Bytes of the history. */
export const HISTORY_BYTES = HISTORY_STEPS * 16;

/** Buffers. */
export interface FinishGradientsBindings {
  /** u32 `[count, 2]`. */
  readonly sums: BufferSlice;
  /** The step state, changed. */
  readonly state: BufferSlice;
  /** f32 `[HISTORY_STEPS, 4]`: line `attempts % HISTORY_STEPS` is written. */
  readonly history: BufferSlice;
}

/** The plan. */
export type FinishGradientsPlan = PassPlan<FinishGradientsBindings, typeof PARAMS>;

/** Plans the decision over `count` sums of squares, for a step of `tokens` tokens. */
export function planFinishGradients(
  { count, tokens, optimizer }: {
    readonly count: number;
    readonly tokens: number;
    readonly optimizer: Optimizer;
  },
): FinishGradientsPlan {
  requireWhole("plan finish of gradients", "count", count);
  requireWhole("plan finish of gradients", "tokens", tokens);
  const { mostNorm, learningRate, warmup, firstDecay, secondDecay, growthSteps, mostScale } =
    optimizer;
  return {
    pipeline: {
      label: "finish gradients",
      bindings: ["read", "read-write", "read-write", "uniform"],
      code: `${code}\n${STEP_STATE_STRUCT}`,
    },
    layout: PARAMS,
    params: {
      count,
      tokens,
      mostNorm,
      learningRate,
      warmup: Math.max(1, warmup),
      firstDecay,
      secondDecay,
      growthSteps,
      mostScale,
      historySteps: HISTORY_STEPS,
    },
    workgroups: [1, 1, 1],
    bytes: { sums: count * 8, state: STEP_STATE_BYTES, history: HISTORY_BYTES },
  };
}

/** Compiles the decision. */
export function createFinishGradients(
  gpu: Gpu,
  plan: FinishGradientsPlan,
): Promise<Pass<FinishGradientsBindings>> {
  return createPass<FinishGradientsBindings>(gpu, plan);
}
