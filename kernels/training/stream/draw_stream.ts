/**
 * Draws the batch of a step on the device: filler with needles, and text of a resident corpus or of
 * a synthetic language (`stream_options.ts` says what they are).
 *
 * Shapes: corpus u32, four bytes a word; tokens and targets u32 `[sequences, N]`.
 *
 * @module
 */
import code from "./draw_stream.wgsl" with { type: "text" };
import type { Gpu } from "../../gpu/device.ts";
import { pcg } from "../../gpu/random.ts";
import { requireWhole } from "../../gpu/require.ts";
import { createPass, type Pass, type PassPlan } from "../../lighthouse/passes/pass.ts";
import { STEP_STATE_BYTES, STEP_STATE_STRUCT } from "../optimizer/step_state.ts";
import type { SampleBatchBindings } from "../sampler/sample_batch.ts";
import { fillStream, type StreamOptions } from "./stream_options.ts";

const PARAMS = {
  seedHash: "u32",
  sequences: "u32",
  context: "u32",
  lines: "u32",
  starts: "u32",
  digitShare: "u32",
  keyedShare: "u32",
  leastPower: "u32",
  powers: "u32",
} as const;

/** The plan. */
export type DrawStreamPlan = PassPlan<SampleBatchBindings, typeof PARAMS>;

/** Bytes of the buffer `corpus`, which is there without a corpus too. */
export function corpusBufferBytes(corpus?: Uint8Array): number {
  return Math.max(4, Math.ceil((corpus?.length ?? 0) / 4) * 4);
}

/**
 * Plans the draw.
 *
 * @param size `sequences` of a whole step, and `context`, N.
 * @throws {RangeError} one line, when an option is out of range.
 */
export function planDrawStream(
  options: StreamOptions,
  { sequences, context }: { sequences: number; context: number },
): DrawStreamPlan {
  requireWhole("plan stream", "sequences", sequences);
  const { seed, digitLimit, keyedLimit, leastPower, powers, corpus } = fillStream(options, {
    context,
  });
  const lines = Math.floor(context / 64) + 1;
  const bytes = sequences * context * 4;
  return {
    pipeline: {
      label: "draw stream",
      bindings: ["read", "read", "read-write", "read-write", "uniform"],
      code: `${code}\n${STEP_STATE_STRUCT}`,
    },
    layout: PARAMS,
    params: {
      seedHash: pcg(seed),
      sequences,
      context,
      lines,
      starts: corpus ? corpus.length - context : 0,
      digitShare: digitLimit,
      keyedShare: keyedLimit,
      leastPower,
      powers,
    },
    workgroups: [Math.ceil(sequences * lines / 64), 1, 1],
    bytes: {
      corpus: corpusBufferBytes(corpus),
      state: STEP_STATE_BYTES,
      tokens: bytes,
      targets: bytes,
    },
  };
}

/** Compiles the draw. */
export function createDrawStream(
  gpu: Gpu,
  plan: DrawStreamPlan,
): Promise<Pass<SampleBatchBindings>> {
  return createPass<SampleBatchBindings>(gpu, plan);
}
