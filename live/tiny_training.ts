/**
 * The training that the page shows: two small models that differ in their attention alone, step by step
 * on the same text.
 *
 * @module
 */
import type { Gpu } from "../kernels/gpu/device.ts";
import { DENSE, type LayerAttention } from "../kernels/training/attention/types.ts";
import type { ModelOptions } from "../kernels/training/model/model_options.ts";
import { planTraining } from "../kernels/training/model/model_plan.ts";
import {
  createTrainingModel,
  type TrainingModel,
} from "../kernels/training/model/training_model.ts";
import { type TinyText, tinyText } from "./tiny_text.ts";

/** What a device trains. */
export interface TrainingSize {
  readonly model: Omit<ModelOptions, "dtype" | "attention">;
  /** Attention of the layers of the second model. */
  readonly lighthouse: LayerAttention;
  /** Of each model. */
  readonly steps: number;
  /** Seconds after which it ends, wherever it is. */
  readonly limitSeconds: number;
}

/** A context at which Lighthouse gathers a fifth of the tokens. */
const ON_GPU: TrainingSize = {
  model: {
    ...{ layers: 4, width: 256, heads: 4, ffn: 384, vocabulary: 256, context: 8192 },
    optimizer: { learningRate: 3e-3, warmup: 10 },
    // Display drivers reset a device that does not answer for two seconds.
    flopsPerDispatch: 1e11,
  },
  lighthouse: {
    kind: "lighthouse",
    scorer: "norm",
    options: { levels: 3, pooling: 4, k: 128 },
  },
  steps: 200,
  limitSeconds: 90,
};

/** What a processor trains in a minute or two: too short for Lighthouse to gather less. */
const ON_SOFTWARE: TrainingSize = {
  model: {
    ...{ layers: 2, width: 64, heads: 2, ffn: 96, vocabulary: 256, context: 512 },
    optimizer: { learningRate: 1e-2, warmup: 5 },
  },
  lighthouse: {
    kind: "lighthouse",
    scorer: "norm",
    options: { levels: 2, pooling: 2, k: 128 },
  },
  steps: 40,
  limitSeconds: 240,
};

/** The size for a device. */
export function trainingSize({ adapter }: Pick<Gpu, "adapter">): TrainingSize {
  return adapter.software ? ON_SOFTWARE : ON_GPU;
}

/** What the page says before it trains. */
export type TrainingFacts =
  | {
    readonly able: true;
    readonly layers: number;
    readonly context: number;
    /** Rows that a Lighthouse layer attends to. */
    readonly gathered: number;
    readonly steps: number;
    readonly tokensPerStep: number;
    /** Of one model. */
    readonly parameters: number;
    /** Device memory of both models. */
    readonly bytes: number;
    readonly limitSeconds: number;
  }
  | { readonly able: false; readonly reason: string };

/** One of the two models. */
interface Arm {
  readonly name: "dense" | "lighthouse-norm";
  readonly options: ModelOptions;
}

/** Both models of a device. */
function armsOf(gpu: Pick<Gpu, "adapter" | "capabilities">, size: TrainingSize): readonly Arm[] {
  const dtype = gpu.capabilities.f16 ? "f16" : "f32";
  return [
    { name: "dense", options: { ...size.model, dtype, attention: DENSE } },
    { name: "lighthouse-norm", options: { ...size.model, dtype, attention: size.lighthouse } },
  ];
}

/** Bytes of text: no byte is drawn twice on average. */
function textBytes({ model: { context, batch = 1 }, steps }: TrainingSize): number {
  return context * batch * steps;
}

/** What a device would train, or why it cannot. */
export function trainingFacts(gpu: Pick<Gpu, "adapter" | "capabilities">): TrainingFacts {
  const size = trainingSize(gpu);
  try {
    const corpusBytes = textBytes(size);
    const plans = armsOf(gpu, size).map(({ options }) =>
      planTraining(gpu, options, { corpusBytes })
    );
    const [{ model: { layers, context }, tokens, parameterCount }, lighthouse] = plans;
    return {
      able: true,
      layers,
      context,
      gathered: lighthouse.attention[0].geometry!.gathered,
      steps: size.steps,
      tokensPerStep: tokens,
      parameters: parameterCount,
      bytes: plans.reduce((sum, { peakBytes }) => sum + peakBytes, 0),
      limitSeconds: size.limitSeconds,
    };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return { able: false, reason: error.message };
  }
}

/** How far a training is. */
export interface TrainingMoment {
  /** What it does, in words. */
  readonly text: string;
  /** Steps planned, of each model. */
  readonly steps: number;
  /** Nats of a byte of the text. */
  readonly entropy: number;
  /** Seconds still to go at the pace so far, at most what the limit leaves; null while it is unknown. */
  readonly secondsLeft: number | null;
  readonly arms: readonly TrainedArm[];
}

/** How far a model is. */
export interface TrainedArm {
  readonly name: Arm["name"];
  /** Mean loss of each step, nats; a step whose gradients were not finite is null. */
  readonly losses: readonly (number | null)[];
  /** Over all steps but the first; null before the second. */
  readonly tokensPerSecond: number | null;
}

/** How a training ended. */
export type TrainingEnd = "finished" | "stopped" | "limit";

/** Options of {@linkcode trainTiny}. */
export interface TrainTinyOptions {
  readonly signal: AbortSignal;
  readonly post: (moment: TrainingMoment) => void;
  readonly seed?: number;
  /** Default: that of the device. */
  readonly size?: TrainingSize;
  /** Milliseconds. Default: `performance.now()`. */
  readonly now?: () => number;
}

/** Most FLOP of one submission: a third of a second where a GPU makes 0.3 TFLOP/s. */
const MOST_FLOPS = 1e11;

/** Milliseconds of a block of steps: between two, losses are read and shown. */
const BLOCK_MILLISECONDS = 150;

/** A model while it trains. */
interface Trainee {
  readonly arm: Arm;
  readonly model: TrainingModel;
  losses: (number | null)[];
  /** Steps and milliseconds that count for the speed. */
  timed: { steps: number; milliseconds: number };
}

/**
 * Trains both models in turns, from the same seed on the same batches.
 *
 * @throws {MemoryError} when the device has no room.
 * @throws {DeviceLostError} when the device was lost.
 */
export async function trainTiny(gpu: Gpu, options: TrainTinyOptions): Promise<TrainingEnd> {
  const { size = trainingSize(gpu), seed = 1, now = () => performance.now(), signal } = options;
  const text = tinyText(textBytes(size), seed);
  const trainees: Trainee[] = [];
  const endAt = now() + 1e3 * size.limitSeconds;
  const post = (words: string, secondsLeft: number | null = null) =>
    options.post(describe(words, { size, text, trainees, secondsLeft }));
  try {
    for (const arm of armsOf(gpu, size)) {
      if (signal.aborted) return "stopped";
      post(`Compiling the kernels of the ${titleOf(arm.name)} model …`);
      const model = await createTrainingModel(gpu, arm.options, {
        seed,
        sampler: { corpus: text.bytes, seed },
      });
      trainees.push({ arm, model, losses: [], timed: { steps: 0, milliseconds: 0 } });
    }
    let done = 0;
    let [block, round] = [1, 0];
    while (done < size.steps) {
      if (signal.aborted) return "stopped";
      if (now() >= endAt) return "limit";
      const count = Math.min(block, size.steps - done);
      const began = now();
      // Whoever is second finds the device warmer: they take turns.
      const order = round++ % 2 === 0 ? trainees : trainees.toReversed();
      for (const one of order) await advance(one, { count, isFirst: done === 0, signal, now });
      done += count;
      // The first step is longer: drivers compile in it.
      if (done > 1 && now() - began < BLOCK_MILLISECONDS) block *= 2;
      post(
        "Training both models in turns …",
        leftOf({ trainees, done, size, rest: endAt - now() }),
      );
    }
    return "finished";
  } catch (error) {
    if (signal.aborted && error === signal.reason) return "stopped";
    throw error;
  } finally {
    for (const { model } of trainees) model.destroy();
  }
}

/** Steps of one model, and their losses. */
async function advance(
  one: Trainee,
  { count, isFirst, signal, now }: {
    count: number;
    isFirst: boolean;
    signal: AbortSignal;
    now: () => number;
  },
): Promise<void> {
  const began = now();
  await one.model.run(count, { signal, flopsPerSubmission: MOST_FLOPS });
  if (!isFirst) {
    one.timed.steps += count;
    one.timed.milliseconds += now() - began;
  }
  const lines = await one.model.readHistory(count);
  one.losses.push(...lines.map(({ loss, skipped }) => skipped || !isFinite(loss) ? null : loss));
}

function leftOf(
  { trainees, done, size, rest }: {
    trainees: readonly Trainee[];
    done: number;
    size: TrainingSize;
    rest: number;
  },
): number | null {
  if (done < 2) return null;
  const perStep = trainees.reduce(
    (sum, { timed }) => sum + timed.milliseconds / timed.steps,
    0,
  );
  return Math.max(0, Math.min(perStep * (size.steps - done), rest)) / 1e3;
}

function describe(
  text: string,
  parts: {
    size: TrainingSize;
    text: TinyText;
    trainees: readonly Trainee[];
    secondsLeft: number | null;
  },
): TrainingMoment {
  return {
    text,
    steps: parts.size.steps,
    entropy: parts.text.entropy,
    secondsLeft: parts.secondsLeft,
    arms: parts.trainees.map(({ arm, model, losses, timed: { steps, milliseconds } }) => ({
      name: arm.name,
      losses: [...losses],
      tokensPerSecond: milliseconds > 0 ? 1e3 * steps * model.plan.tokens / milliseconds : null,
    })),
  };
}

/** A model's name in a sentence. */
export function titleOf(name: Arm["name"]): string {
  return name === "dense" ? "dense" : "Lighthouse";
}
