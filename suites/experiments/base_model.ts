/**
 * The base of an experiment: a dense model, trained at a short context, from whose weights every
 * arm of a seed goes on. The model of the last seed is kept, since runs train seed by seed; another
 * is trained again with the same bits.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { DENSE } from "../../kernels/training/attention/types.ts";
import type { ModelOptions } from "../../kernels/training/model/model_options.ts";
import {
  createTrainingModel,
  type TrainingModel,
} from "../../kernels/training/model/training_model.ts";
import type { StreamOptions } from "../../kernels/training/stream/stream_options.ts";
import type { BaseRecord, EvaluationRecord } from "../result/result_schema.ts";
import { type Base, type Experiment, streamOf, VOCABULARY } from "./experiment.ts";

/** Steps between two questions to the device. */
const BLOCK = 50;

/** Share of the steps at their end whose mean loss is recorded. */
const LAST_SHARE = 0.1;

/** Added to a seed for the base's data, above every seed of an experiment. */
const SEED_OFFSET = 2 ** 21;

/** A trained base. */
export interface TrainedBase {
  readonly model: TrainingModel;
  readonly record: BaseRecord;
  /** Of its weights, once an arm has made it: the same for all arms. */
  evaluation?: EvaluationRecord;
}

/** The model of a base. */
export function baseModelOf(
  { model: { layers, width, heads, ffn }, optimizer }: Experiment,
  { context, batch, learningRate = optimizer.learningRate, warmup = optimizer.warmup }: Base,
  dtype: "f16" | "f32",
): ModelOptions {
  return {
    layers,
    width,
    heads,
    ffn,
    context,
    batch,
    vocabulary: VOCABULARY,
    dtype,
    attention: DENSE,
    optimizer: { learningRate, warmup },
  };
}

/** The data of a base: the experiment's shares, other sequences. */
export function baseStreamOf(
  { data }: Experiment,
  { plantings }: Base,
  { seed, corpus }: { seed: number; corpus?: Uint8Array },
): StreamOptions {
  return streamOf({ data: { ...data, plantings } }, seed + SEED_OFFSET, corpus);
}

/** Trains the bases of one experiment on one device. */
export class BaseModels {
  readonly #gpu: Gpu;
  readonly #options: {
    readonly experiment: Experiment;
    readonly dtype: "f16" | "f32";
    readonly corpus?: Uint8Array;
  };
  #last?: TrainedBase & { readonly seed: number };

  constructor(
    gpu: Gpu,
    options: {
      readonly experiment: Experiment;
      readonly dtype: "f16" | "f32";
      readonly corpus?: Uint8Array;
    },
  ) {
    this.#gpu = gpu;
    this.#options = options;
  }

  /**
   * The base of a seed; undefined where the experiment has none. The model is this object's to
   * free.
   *
   * @throws {RangeError} one line, when a loss is not finite.
   * @throws {DOMException} `AbortError` when the signal fired.
   */
  async of(
    seed: number,
    { signal, onStep }: { signal?: AbortSignal; onStep?: (text: string) => void } = {},
  ): Promise<TrainedBase | undefined> {
    const { experiment, dtype, corpus } = this.#options;
    const { base } = experiment;
    if (!base) return undefined;
    if (this.#last?.seed === seed) return this.#last;
    this.destroy();
    const model = await createTrainingModel(this.#gpu, baseModelOf(experiment, base, dtype), {
      seed,
      stream: baseStreamOf(experiment, base, { seed, corpus }),
    });
    try {
      const record = await trainBase(model, base, { signal, onStep });
      this.#last = { seed, model, record };
      return this.#last;
    } catch (error) {
      model.destroy();
      throw error;
    }
  }

  /** Frees the model that is kept. */
  destroy(): void {
    this.#last?.model.destroy();
    this.#last = undefined;
  }
}

async function trainBase(
  model: TrainingModel,
  { context, steps }: Base,
  { signal, onStep }: { signal?: AbortSignal; onStep?: (text: string) => void },
): Promise<BaseRecord> {
  const losses: number[] = [];
  const started = performance.now();
  while (losses.length < steps) {
    const count = Math.min(BLOCK, steps - losses.length);
    await model.run(count, { signal });
    for (const { step, loss } of await model.readHistory(count)) {
      if (!Number.isFinite(loss)) {
        throw new RangeError(`train the base: the loss of step ${step} is not finite`);
      }
      losses.push(loss);
    }
    onStep?.(`base at context ${context}: step ${losses.length} of ${steps}`);
  }
  const last = losses.slice(-Math.ceil(steps * LAST_SHARE));
  return {
    context,
    steps,
    tokensPerStep: model.plan.tokens,
    seconds: (performance.now() - started) / 1e3,
    loss: Number((last.reduce((sum, one) => sum + one, 0) / last.length).toPrecision(6)),
  };
}
