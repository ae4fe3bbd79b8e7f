/**
 * What a model holds before its first step: weights, tables, state and corpus.
 *
 * @module
 */
import { type BufferSlice, writeBuffer } from "../../gpu/buffers.ts";
import type { Gpu } from "../../gpu/device.ts";
import { requireRecord, show } from "../../gpu/require.ts";
import { initialState, packState } from "../optimizer/step_state.ts";
import { ropeTable } from "../rope/rope.ts";
import { planSampleBatch } from "../sampler/sample_batch.ts";
import { createInitWeights, planInitWeights } from "../weights/init_weights.ts";
import type { TrainingPlan } from "./model_plan.ts";
import type { Parameter } from "./parameters.ts";
import { runStages } from "./run_stages.ts";

const ACTION = "create training model";

/** Where batches come from: bytes of a corpus, and the seed by which they are drawn. */
export interface SamplerOptions {
  /** Bytes; each is a token. */
  readonly corpus: Uint8Array;
  /** Default 1. */
  readonly seed?: number;
}

/** Bytes of a corpus. */
export function requireCorpus(sampler: SamplerOptions): number {
  requireRecord(ACTION, "the sampler", sampler);
  if (!(sampler.corpus instanceof Uint8Array)) {
    throw new TypeError(`${ACTION}: the corpus is ${show(sampler.corpus)}, not bytes`);
  }
  return sampler.corpus.length;
}

/** Plans what draws the batches of a model. */
export function planSampler({ model }: TrainingPlan, { corpus, seed }: SamplerOptions) {
  const largest = corpus.reduce((most, byte) => Math.max(most, byte), 0);
  if (largest >= model.vocabulary) {
    throw new RangeError(
      `${ACTION}: the corpus has byte ${largest}, the vocabulary ends at ${model.vocabulary - 1}`,
    );
  }
  const { context, batch, accumulate } = model;
  const sequences = batch * accumulate;
  return planSampleBatch({ corpusBytes: corpus.length, sequences, context, seed });
}

/** Writes what never changes, and the first state. */
export function fillTables(
  gpu: Gpu,
  { plan, buffer, sampler }: {
    plan: TrainingPlan;
    buffer: (name: string) => BufferSlice;
    sampler?: SamplerOptions;
  },
): void {
  const { context, headDim, ropeTheta: theta, ropeScaling: scaling, optimizer } = plan.model;
  writeBuffer(gpu, buffer("rope table"), ropeTable({ context, headDim, theta, scaling }));
  writeBuffer(gpu, buffer("step state"), packState(initialState(optimizer.lossScale)));
  if (!sampler) return;
  const padded = new Uint8Array(Math.ceil(sampler.corpus.length / 4) * 4);
  padded.set(sampler.corpus);
  writeBuffer(gpu, buffer("corpus"), padded);
}

/** Makes the weights; each tensor has a seed of its own. */
export async function initWeights(
  gpu: Gpu,
  { plan, buffer, seed }: {
    plan: TrainingPlan;
    buffer: (name: string) => BufferSlice;
    seed: number;
  },
): Promise<void> {
  for (const [i, parameter] of plan.parameters.entries()) {
    const init = await createInitWeights(gpu, planInitWeights(initOf(parameter, i, seed)));
    try {
      const weights = buffer(`${parameter.name} weights`);
      await runStages(gpu, [{ name: "weights", dispatches: init.bind({ weights }) }]);
    } finally {
      init.destroy();
    }
  }
}

/** How the i-th parameter of a seed is made. */
export function initOf({ shape, deviation }: Parameter, i: number, seed: number) {
  const [rows, columns] = shape;
  return { rows, columns, deviation, seed: (seed * 4096 + i) >>> 0 };
}
