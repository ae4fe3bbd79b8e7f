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
import { createSampleBatch, planSampleBatch } from "../sampler/sample_batch.ts";
import { corpusBufferBytes, createDrawStream, planDrawStream } from "../stream/draw_stream.ts";
import { fillStream, type StreamOptions } from "../stream/stream_options.ts";
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

/** What draws the batches of a model. */
export type BatchSource =
  | { readonly kind: "sampler"; readonly options: SamplerOptions }
  | { readonly kind: "stream"; readonly options: StreamOptions };

/** What a model and its checkpoints say of its batches: what decides them. */
export interface SamplerRecord {
  /** By which batches are drawn. */
  readonly seed: number;
  /** Bytes of the corpus; 0 without one. */
  readonly corpusBytes: number;
  /** Of a stream: its other options. */
  readonly stream?: Omit<StreamOptions, "corpus" | "seed">;
}

/** The source of a model's batches; undefined where `writeBatch` gives them. */
export function chooseSource(
  { sampler, stream }: { sampler?: SamplerOptions; stream?: StreamOptions },
): BatchSource | undefined {
  if (sampler !== undefined && stream !== undefined) {
    throw new TypeError(`${ACTION}: both a sampler and a stream are given`);
  }
  if (stream !== undefined) {
    requireRecord(ACTION, "the stream", stream);
    return { kind: "stream", options: stream };
  }
  if (sampler === undefined) return undefined;
  requireRecord(ACTION, "the sampler", sampler);
  if (!(sampler.corpus instanceof Uint8Array)) {
    throw new TypeError(`${ACTION}: the corpus is ${show(sampler.corpus)}, not bytes`);
  }
  return { kind: "sampler", options: sampler };
}

/** Bytes of the buffer that holds the corpus; a stream without one has a word. */
export function corpusBytesOf(source: BatchSource | undefined): number {
  if (source === undefined) return 0;
  const { kind, options } = source;
  return kind === "stream" ? corpusBufferBytes(options.corpus) : options.corpus.length;
}

/** What a model says of its batches. */
export function describeSource({ kind, options }: BatchSource): SamplerRecord {
  const { corpus, seed = 1, ...stream } = options as StreamOptions;
  return { seed, corpusBytes: corpus?.length ?? 0, ...(kind === "stream" && { stream }) };
}

/** Plans what draws the batches of a model, and returns what compiles it. */
export function planSource({ model }: TrainingPlan, source: BatchSource) {
  const { corpus } = source.options;
  const largest = corpus?.reduce((most, byte) => Math.max(most, byte), 0) ?? 0;
  if (largest >= model.vocabulary) {
    throw new RangeError(
      `${ACTION}: the corpus has byte ${largest}, the vocabulary ends at ${model.vocabulary - 1}`,
    );
  }
  const { context, batch, accumulate } = model;
  const sequences = batch * accumulate;
  if (source.kind === "stream") {
    // Its letters are ASCII.
    if (model.vocabulary < 128) {
      throw new RangeError(
        `${ACTION}: a stream needs a vocabulary of 128, not ${model.vocabulary}`,
      );
    }
    fillStream(source.options, { context });
    const plan = planDrawStream(source.options, { sequences, context });
    return (gpu: Gpu) => createDrawStream(gpu, plan);
  }
  const { corpus: { length: corpusBytes }, seed } = source.options;
  const plan = planSampleBatch({ corpusBytes, sequences, context, seed });
  return (gpu: Gpu) => createSampleBatch(gpu, plan);
}

/** Writes what never changes, and the first state. */
export function fillTables(
  gpu: Gpu,
  { plan, buffer, corpus }: {
    plan: TrainingPlan;
    buffer: (name: string) => BufferSlice;
    corpus?: Uint8Array;
  },
): void {
  const { context, headDim, ropeTheta: theta, ropeScaling: scaling, optimizer } = plan.model;
  writeBuffer(gpu, buffer("rope table"), ropeTable({ context, headDim, theta, scaling }));
  writeBuffer(gpu, buffer("step state"), packState(initialState(optimizer.lossScale)));
  if (!corpus) return;
  const padded = new Uint8Array(Math.ceil(corpus.length / 4) * 4);
  padded.set(corpus);
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
