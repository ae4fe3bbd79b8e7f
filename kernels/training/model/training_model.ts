/**
 * A model that trains on a device: forward and backward pass, loss, and update, with every buffer
 * planned before it is allocated.
 *
 * A step needs nothing from the host and gives nothing back: batch, loss scale, skipped steps, norm
 * and learning rate live on the device. The history of losses is read when somebody asks.
 *
 * Results depend on the plan's tilings, the device and the seed alone: two runs give the same bits,
 * in every recompute mode, and so does a run that was saved and resumed.
 *
 * @module
 */
import {
  type BufferSlice,
  createStorageBuffer,
  MemoryError,
  readBuffer,
  slice,
  writeBuffer,
} from "../../gpu/buffers.ts";
import { showBytes } from "../../gpu/bytes.ts";
import type { Gpu } from "../../gpu/device.ts";
import { collectOwned } from "../../gpu/owned.ts";
import {
  requireNumbers,
  requirePositive,
  requireRecord,
  requireWhole,
  show,
} from "../../gpu/require.ts";
import { waitFor } from "../../gpu/submit.ts";
import type { Stage } from "../../gpu/timing.ts";
import { HISTORY_STEPS } from "../optimizer/finish_gradients.ts";
import { packState, type StepState, unpackState } from "../optimizer/step_state.ts";
import type { StreamOptions } from "../stream/stream_options.ts";
import { createRoundWeights, planRoundWeights } from "../weights/round_weights.ts";
import { bindStep } from "./bind_step.ts";
import {
  chooseSource,
  corpusBytesOf,
  describeSource,
  fillTables,
  initWeights,
  planSource,
  type SamplerOptions,
  type SamplerRecord,
} from "./fill_model.ts";
import { runStages } from "./run_stages.ts";
import { findRemedy, type PlanOptions, planTraining, type TrainingPlan } from "./model_plan.ts";
import type { ModelOptions } from "./model_options.ts";
import { parameterSize } from "./parameters.ts";
import { compileStep } from "./step_kernels.ts";

/** What a parameter has on the device. */
export type ParameterPart = "weights" | "gradient" | "first moment" | "second moment";

/** A line of the history. */
export interface HistoryLine {
  /** Number of the step, from 0, skipped ones included. */
  readonly step: number;
  /** Mean loss of its tokens, in nats. */
  readonly loss: number;
  /** Global norm of its gradients before clipping; 0 where it was skipped. */
  readonly gradientNorm: number;
  /** Loss scale that it ran with. */
  readonly lossScale: number;
  /** Whether it was skipped, since a gradient was not finite. */
  readonly skipped: boolean;
}

/** Options of {@linkcode createTrainingModel}. */
export interface CreateModelOptions extends PlanOptions {
  /** Of the weights. Default 1. */
  readonly seed?: number;
  /** Draws batches on the device. Default: `writeBatch` gives them. */
  readonly sampler?: SamplerOptions;
  /** Instead of a sampler: draws filler with needles, and text. */
  readonly stream?: StreamOptions;
}

/** Options of {@linkcode TrainingModel.run}. */
export interface RunStepsOptions {
  /** Stops between steps. */
  readonly signal?: AbortSignal;
  /**
   * Most FLOP of one submission: display drivers reset a device that does not answer for two
   * seconds. Set `flopsPerDispatch` of the model too. Default: a step is one submission.
   */
  readonly flopsPerSubmission?: number;
  /**
   * Steps that may be submitted before an earlier one is done, so that the device never waits for
   * the host. Default 4; 0: each step waits for the one before.
   */
  readonly stepsAhead?: number;
}

/** A model on a device. */
export interface TrainingModel {
  /** What it was planned to take. */
  readonly plan: TrainingPlan;
  /** What draws its batches; absent where `writeBatch` gives them. */
  readonly sampler?: SamplerRecord;
  /** One step in order: sampling, batches, update. For a timer that measures stages. */
  readonly stages: readonly Stage[];
  /** One step without the update: gradients are added to what they hold. */
  readonly gradientStages: readonly Stage[];
  /** Forward pass and losses of the first batch. */
  readonly evaluationStages: readonly Stage[];
  /**
   * Writes the batch of the next step: sequences of a step `[accumulate · batch, N + 1]` of tokens,
   * each with the token after its last.
   *
   * @throws {RangeError} when there are not as many, or a token is not in the vocabulary.
   */
  readonly writeBatch: (tokens: ArrayLike<number>) => void;
  /**
   * Runs steps and waits until the device has done them. Nothing is read.
   *
   * @throws {RefusedError} when the device refused a submission.
   * @throws {DeviceLostError} when the device was lost or destroyed.
   * @throws {DOMException} `AbortError` when the signal fired between two steps.
   */
  readonly run: (steps: number, options?: RunStepsOptions) => Promise<void>;
  /** Runs the forward and backward pass alone. */
  readonly runGradients: () => Promise<void>;
  /**
   * Losses of a batch that is not trained on, f32 `[batch · N]`, in nats. What `writeBatch` gave
   * for the next step is overwritten.
   *
   * @param tokens `[batch, N + 1]`, each sequence with the token after its last.
   * @throws {RangeError} when there are not as many, or a token is not in the vocabulary.
   */
  readonly evaluate: (tokens: ArrayLike<number>) => Promise<Float32Array>;
  /** The step state. */
  readonly readState: () => Promise<StepState>;
  /** Replaces the step state. */
  readonly writeState: (state: StepState) => void;
  /**
   * The last steps, at most 4,096, the oldest first; none that ran before the model was resumed.
   */
  readonly readHistory: (count?: number) => Promise<HistoryLine[]>;
  /** Losses of the last batch, f32 `[batch · N]`, in nats. */
  readonly readLosses: () => Promise<Float32Array>;
  /** A part of a parameter, f32. */
  readonly readParameter: (name: string, part?: ParameterPart) => Promise<Float32Array>;
  /** Replaces a part of a parameter; `refreshCopies` must follow before the next step. */
  readonly writeParameter: (name: string, data: Float32Array, part?: ParameterPart) => void;
  /** Makes the f16 copies of the weights anew. */
  readonly refreshCopies: () => Promise<void>;
  /**
   * Pyramid indices of a Lighthouse layer in gathered order, `[batch · heads, S]`; of the last
   * batch.
   */
  readonly readSelection: (layer: number) => Promise<Int32Array>;
  /** A buffer of the plan. */
  readonly buffer: (name: string) => BufferSlice;
  /** Frees everything. */
  readonly destroy: () => void;
}

const ACTION = "create training model";

/**
 * Allocates a model, makes its weights and compiles its kernels.
 *
 * @throws {TypeError} when something is missing or of an unknown kind.
 * @throws {RangeError} one line, when a value is out of range, the model does not fit, the
 * vocabulary is smaller than the bytes of the corpus need, or the corpus is shorter than a
 * sequence. Nothing is allocated then.
 * @throws {MemoryError} when the device has no room; nothing stays allocated.
 * @throws {ShaderError} when the device refuses a shader.
 *
 * @example
 * ```ts
 * import { DeviceError, openDevice } from "../../gpu/device.ts";
 * import { createTrainingModel } from "./training_model.ts";
 *
 * try {
 *   const gpu = await openDevice();
 *   const model = await createTrainingModel(gpu, {
 *     layers: 1, width: 32, heads: 1, ffn: 32, vocabulary: 256, context: 32, dtype: "f32",
 *   }, { sampler: { corpus: new TextEncoder().encode("all work and no play ".repeat(20)) } });
 *   await model.run(2);
 *   console.log((await model.readHistory()).map(({ loss }) => loss));
 *   model.destroy();
 *   gpu.destroy();
 * } catch (error) {
 *   if (!(error instanceof DeviceError)) throw error; // no adapter on this machine
 * }
 * ```
 */
export async function createTrainingModel(
  gpu: Gpu,
  options: ModelOptions,
  create: CreateModelOptions = {},
): Promise<TrainingModel> {
  requireRecord(ACTION, "the options", create);
  const { seed = 1, memoryBytes } = create;
  requireWhole(ACTION, "seed", seed, { least: 0, most: 2 ** 32 - 1 });
  const source = chooseSource(create);
  const corpusBytes = corpusBytesOf(source);
  const plan = planTraining(gpu, options, { memoryBytes, corpusBytes });
  const createDraw = source && planSource(plan, source);
  const { own, destroy } = collectOwned();
  try {
    const buffers = new Map<string, BufferSlice>();
    for (const { name, bytes } of plan.buffers) {
      buffers.set(name, slice(own(await createStorageBuffer(gpu, bytes, { label: name }))));
    }
    const buffer = (name: string): BufferSlice => {
      const found = buffers.get(name);
      if (!found) throw new RangeError(`training model: there is no buffer ${name}`);
      return found;
    };
    const kernels = own(await compileStep(gpu, plan));
    const bound = bindStep({ plan, kernels, buffer });
    const draw = createDraw && own(await createDraw(gpu));
    const [tokens, targets, state] = ["tokens", "targets", "step state"].map(buffer);
    const sampled: Stage[] = draw
      ? [{
        name: "sampling",
        dispatches: draw.bind({ corpus: buffer("corpus"), state, tokens, targets }),
      }]
      : [];
    const gradientStages = [...sampled, ...bound.batches.flat()];
    const model = makeModel(gpu, {
      plan,
      buffer,
      sampler: source && describeSource(source),
      evaluationStages: bound.evaluation,
      gradientStages,
      stages: [...gradientStages, ...bound.update],
      destroy,
    });
    fillTables(gpu, { plan, buffer, corpus: source?.options.corpus });
    await initWeights(gpu, { plan, buffer, seed });
    await model.refreshCopies();
    return model;
  } catch (error) {
    destroy();
    if (!(error instanceof MemoryError)) throw error;
    // How much the device had is unknown: whatever needs less may fit.
    const remedy = findRemedy(gpu, options, { memoryBytes: plan.peakBytes - 1, corpusBytes });
    const needs = `the model needs ${showBytes(plan.peakBytes)}, ${remedy}`;
    throw new MemoryError(`${error.message}: ${needs}`, { cause: error });
  }
}

/** What the functions of a model share. */
interface Parts extends Pick<TrainingModel, "plan" | "buffer" | "sampler" | "destroy"> {
  readonly stages: readonly Stage[];
  readonly gradientStages: readonly Stage[];
  readonly evaluationStages: readonly Stage[];
}

function makeModel(gpu: Gpu, parts: Parts): TrainingModel {
  const { plan, buffer, stages, gradientStages, sampler, destroy } = parts;
  const { model, parameters } = plan;
  const idle = () =>
    waitFor(gpu, gpu.device.queue.onSubmittedWorkDone(), "wait for training steps");
  const floats = async (name: string, count: number) => {
    const { buffer: bytes } = await readBuffer(gpu, buffer(name));
    return new Float32Array(bytes).subarray(0, count);
  };
  const sizeOf = (action: string, name: string) => {
    const parameter = parameters.find((one) => one.name === name);
    if (!parameter) throw new RangeError(`${action}: there is no parameter ${show(name)}`);
    return parameterSize(parameter);
  };
  const readState = async () => {
    const { buffer: bytes } = await readBuffer(gpu, buffer("step state"));
    return unpackState(new Uint32Array(bytes));
  };
  const readLosses = () => floats("losses", model.rows);
  return {
    plan,
    buffer,
    stages,
    gradientStages,
    evaluationStages: parts.evaluationStages,
    sampler,
    destroy,
    writeBatch: (tokens) => {
      writeTokens(gpu, parts, {
        action: "write batch",
        tokens,
        sequences: model.batch * model.accumulate,
      });
    },
    evaluate: async (tokens) => {
      writeTokens(gpu, parts, { action: "evaluate", tokens, sequences: model.batch });
      await runStages(gpu, parts.evaluationStages);
      return await readLosses();
    },
    run: async (steps, { signal, flopsPerSubmission, stepsAhead = 4 } = {}) => {
      requireWhole("run training steps", "steps", steps, { least: 0 });
      requireWhole("run training steps", "stepsAhead", stepsAhead, { least: 0, most: 64 });
      requirePositive("run training steps", "flopsPerSubmission", flopsPerSubmission);
      const pending: Promise<void>[] = [];
      let stopped = false;
      for (let step = 0; step < steps; step++) {
        if (pending.length > stepsAhead) await pending.shift();
        stopped = signal?.aborted === true;
        if (stopped) break;
        const taken = runStages(gpu, stages, { flopsPerSubmission });
        // A step in several submissions waits between them, and nothing may come among them.
        if (flopsPerSubmission !== undefined) await taken;
        const done = Promise.all([taken, idle()]).then(() => {});
        done.catch(() => {}); // awaited later
        pending.push(done);
      }
      await Promise.all(pending);
      await idle();
      if (stopped) signal?.throwIfAborted();
    },
    runGradients: async () => {
      await runStages(gpu, gradientStages);
      await idle();
    },
    readState,
    writeState: (state) => writeBuffer(gpu, buffer("step state"), packState(state)),
    readHistory: async (count = HISTORY_STEPS) => {
      const { attempts } = await readState();
      const lines = await floats("history", 4 * HISTORY_STEPS);
      const first = Math.max(0, attempts - Math.min(count, HISTORY_STEPS));
      return Array.from({ length: attempts - first }, (_, i): HistoryLine => {
        const at = 4 * ((first + i) % HISTORY_STEPS);
        const [loss, gradientNorm, lossScale, skipped] = lines.subarray(at, at + 4);
        return { step: first + i, loss, gradientNorm, lossScale, skipped: skipped === 1 };
      }).filter(({ lossScale }) => lossScale > 0);
    },
    readLosses,
    readParameter: (name, part = "weights") =>
      floats(`${name} ${part}`, sizeOf("read parameter", name)),
    writeParameter: (name, data, part = "weights") => {
      const count = sizeOf("write parameter", name);
      requireNumbers("write parameter", name, data, { count, shape: name });
      writeBuffer(gpu, buffer(`${name} ${part}`), data);
    },
    refreshCopies: async () => {
      if (model.dtype === "f32") return;
      for (const parameter of parameters) {
        if (!parameter.multiplied) continue;
        const { name } = parameter;
        const size = parameterSize(parameter);
        const round = await createRoundWeights(gpu, planRoundWeights({ size }));
        try {
          const dispatches = round.bind({
            weights: buffer(`${name} weights`),
            copy: buffer(`${name} copy`),
          });
          await runStages(gpu, [{ name: "copies", dispatches }]);
        } finally {
          round.destroy();
        }
      }
    },
    readSelection: (layer) => readIndices(gpu, parts, layer),
  };
}

function writeTokens(
  gpu: Gpu,
  { plan, buffer }: Parts,
  { action, tokens, sequences }: {
    action: string;
    tokens: ArrayLike<number>;
    sequences: number;
  },
): void {
  const { context, vocabulary } = plan.model;
  requireNumbers(action, "the batch", tokens, {
    count: sequences * (context + 1),
    shape: `[${sequences}, ${context + 1}]`,
  });
  const [inputs, targets] = [
    new Uint32Array(sequences * context),
    new Uint32Array(sequences * context),
  ];
  for (let sequence = 0; sequence < sequences; sequence++) {
    for (let n = 0; n <= context; n++) {
      const token = tokens[sequence * (context + 1) + n];
      requireWhole(action, "token", token, { least: 0, most: vocabulary - 1 });
      if (n < context) inputs[sequence * context + n] = token;
      if (n > 0) targets[sequence * context + n - 1] = token;
    }
  }
  writeBuffer(gpu, buffer("tokens"), inputs);
  writeBuffer(gpu, buffer("targets"), targets);
}

async function readIndices(gpu: Gpu, { plan, buffer }: Parts, layer: number): Promise<Int32Array> {
  const { layers, batch, heads } = plan.model;
  requireWhole("read selection", "layer", layer, { least: 0, most: layers - 1 });
  const { geometry, name } = plan.attention[layer];
  if (!geometry) throw new RangeError(`read selection: layer ${layer} is ${name}`);
  const { buffer: bytes } = await readBuffer(gpu, buffer(`layer ${layer} indices`));
  return new Int32Array(bytes).subarray(0, batch * heads * geometry.gathered);
}
