/**
 * Draws the batch of a step from a corpus of bytes that lies on the device: nothing is uploaded in
 * a step. The place of each sequence is a hash of seed, step and sequence, so that a resumed run
 * draws what an uninterrupted one would have drawn.
 *
 * Shapes: corpus u32, four bytes a word; tokens and targets u32 `[sequences, N]`.
 *
 * @module
 */
import code from "./sample_batch.wgsl" with { type: "text" };
import type { BufferSlice } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { pcg } from "../../gpu/random.ts";
import { requireWhole } from "../../gpu/require.ts";
import { foldGrid } from "../../lighthouse/lighthouse_geometry.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { STEP_STATE_BYTES, STEP_STATE_STRUCT } from "../optimizer/step_state.ts";

const PARAMS = {
  seedHash: "u32",
  sequences: "u32",
  context: "u32",
  starts: "u32",
  gridWidth: "u32",
} as const;

/** What to plan for. */
export interface SampleBatchOptions {
  /** Bytes of the corpus. */
  readonly corpusBytes: number;
  /** Sequences of a whole step. */
  readonly sequences: number;
  /** N. */
  readonly context: number;
  /** Default 1. */
  readonly seed?: number;
}

/** The plan. */
export type SampleBatchPlan = PassPlan<SampleBatchBindings, typeof PARAMS>;

/** Buffers. */
export interface SampleBatchBindings {
  /** u32, four bytes a word. */
  readonly corpus: BufferSlice;
  /** The step state. */
  readonly state: BufferSlice;
  /** u32 `[sequences, N]`, written. */
  readonly tokens: BufferSlice;
  /** u32 `[sequences, N]`, written. */
  readonly targets: BufferSlice;
}

/**
 * Plans the draw.
 *
 * @throws {RangeError} one line, when the corpus is shorter than a sequence and its last target.
 */
export function planSampleBatch(options: SampleBatchOptions): SampleBatchPlan {
  const { corpusBytes, sequences, context, seed = 1 } = options;
  const action = "plan sampling";
  requireWhole(action, "sequences", sequences);
  requireWhole(action, "context", context);
  requireWhole(action, "seed", seed, { least: 0, most: 2 ** 32 - 1 });
  requireWhole(action, "corpus bytes", corpusBytes, { least: 0, most: 2 ** 32 - 1 });
  const starts = corpusBytes - context;
  if (starts < 1) {
    throw new RangeError(
      `${action}: the corpus has ${corpusBytes} bytes, a sequence needs ${context + 1}`,
    );
  }
  const [x, y] = foldGrid(Math.ceil(sequences * context / 256));
  const bytes = sequences * context * 4;
  return {
    pipeline: {
      label: "sample batch",
      bindings: ["read", "read", "read-write", "read-write", "uniform"],
      code: `${code}\n${STEP_STATE_STRUCT}`,
    },
    layout: PARAMS,
    params: { seedHash: pcg(seed), sequences, context, starts, gridWidth: x },
    workgroups: [x, y, 1],
    bytes: {
      corpus: Math.ceil(corpusBytes / 4) * 4,
      state: STEP_STATE_BYTES,
      tokens: bytes,
      targets: bytes,
    },
  };
}

/** The first byte of each sequence of a step, as the device draws it. */
export function batchStarts(options: SampleBatchOptions, step: number): number[] {
  const { corpusBytes, sequences, context, seed = 1 } = options;
  return Array.from({ length: sequences }, (_, sequence) => {
    const draw = pcg((pcg((pcg(seed) + step) >>> 0) + sequence) >>> 0);
    return draw % (corpusBytes - context);
  });
}

/** Compiles the draw. */
export function createSampleBatch(
  gpu: Gpu,
  plan: SampleBatchPlan,
): Promise<Pass<SampleBatchBindings>> {
  return createPass<SampleBatchBindings>(gpu, plan);
}
