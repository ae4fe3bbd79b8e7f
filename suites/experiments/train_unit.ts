/**
 * Trains one unit of an experiment: Lighthouse or dense up to the switch, then dense; evaluated at
 * the switch and at the end. It can be stopped between steps and resumed with the same bits.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import {
  blobSource,
  loadCheckpoint,
  saveCheckpoint,
} from "../../kernels/training/checkpoint/checkpoint.ts";
import { copyState } from "../../kernels/training/model/copy_state.ts";
import {
  createTrainingModel,
  type HistoryLine,
  type TrainingModel,
} from "../../kernels/training/model/training_model.ts";
import type { EvaluationRecord, TrainedUnit } from "../result/result_schema.ts";
import type { BaseModels, TrainedBase } from "./base_model.ts";
import type { Evaluator } from "./evaluator.ts";
import { type Experiment, modelOf, streamOf } from "./experiment.ts";
import type { Unit } from "./units.ts";

/** Keeps the checkpoint of the unit in progress. */
export interface CheckpointStore {
  /** Replaces the checkpoint. */
  readonly save: (pieces: AsyncIterable<Uint8Array<ArrayBuffer>>) => Promise<void>;
  /** The checkpoint of the unit with that id; undefined if there is none. */
  readonly load: (id: string) => Promise<Blob | undefined>;
  /** Removes it. */
  readonly remove: () => Promise<void>;
}

/** What is known of a unit in progress. */
export interface UnitProgress {
  /** Steps done. */
  readonly step: number;
  /** Of the last step. */
  readonly loss: number;
  /** Over the last block of steps. */
  readonly secondsPerStep: number;
}

/** Options of {@linkcode trainUnit}. */
export interface TrainUnitOptions {
  readonly experiment: Experiment;
  readonly unit: Unit;
  readonly dtype: "f16" | "f32";
  readonly evaluator: Evaluator;
  /** Trains what the unit goes on from. */
  readonly bases: BaseModels;
  /** Bytes that are trained on. Default: the synthetic language. */
  readonly corpus?: Uint8Array;
  /** Default: none is kept. */
  readonly checkpoints?: CheckpointStore;
  readonly onProgress?: (progress: UnitProgress) => void;
  readonly onStep?: (text: string) => void;
  /** Called with the trained model before it is freed. */
  readonly onTrained?: (model: TrainingModel) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** Seconds that a block of steps may take, after which the losses are read. */
const BLOCK_SECONDS = 0.5;

/** Steps of a block, at most: so many losses the device keeps. */
const MOST_BLOCK = 1000;

/** Seconds between checkpoints. */
const CHECKPOINT_SECONDS = 120;

/** Name of the unit's record in a checkpoint's metadata. */
const UNIT_KEY = "unit";

/** What a checkpoint says of its unit, and what is added to while it trains. */
type Draft = { -readonly [Key in keyof TrainedUnit]: TrainedUnit[Key] };

/**
 * Trains a unit.
 *
 * @throws {DOMException} `AbortError` when the signal fired; a checkpoint was saved if there is a
 * store.
 * @throws {DeviceLostError} when the device was lost or destroyed.
 */
export async function trainUnit(gpu: Gpu, options: TrainUnitOptions): Promise<TrainedUnit> {
  const { unit, checkpoints } = options;
  const saved = await checkpoints?.load(unit.id);
  const run = await UnitRun.start(gpu, options, saved);
  try {
    return await run.finish();
  } finally {
    run.destroy();
  }
}

class UnitRun {
  readonly #gpu: Gpu;
  readonly #options: TrainUnitOptions;
  readonly #unit: Draft;
  /** What the unit begins with; absent without a base, and where a checkpoint goes on. */
  readonly #base?: TrainedBase;
  #model: TrainingModel;
  #isDense: boolean;
  /** Steps whose losses are read at once. */
  #block = 1;
  #savedAt = performance.now();

  private constructor(
    gpu: Gpu,
    options: TrainUnitOptions,
    parts: { unit: Draft; model: TrainingModel; isDense: boolean; base?: TrainedBase },
  ) {
    this.#gpu = gpu;
    this.#options = options;
    this.#unit = parts.unit;
    this.#base = parts.base;
    this.#model = parts.model;
    this.#isDense = parts.isDense;
  }

  static async start(gpu: Gpu, options: TrainUnitOptions, saved?: Blob): Promise<UnitRun> {
    const { experiment, unit: { id, arm, seed }, bases, signal, onStep } = options;
    const { first } = experiment.steps;
    const base = saved ? undefined : await bases.of(seed, { signal, onStep });
    const unit: Draft = saved ? await readDraft(saved) : {
      case: id,
      arm: arm.name,
      seed,
      ...(base && { base: base.record }),
      switchStep: first,
      tokensPerStep: 0,
      losses: [],
      skippedSteps: [],
      seconds: { first: 0, resume: 0 },
      firstSteps: 0,
      resumeSteps: 0,
      evaluations: [],
    };
    const isDense = arm.scorer === undefined || unit.losses.length > first ||
      unit.evaluations.some(({ when }) => when === "switch");
    const model = await createModel(gpu, options, isDense);
    try {
      if (saved) await loadCheckpoint(gpu, model, blobSource(saved));
      if (base) await copyState(gpu, { from: base.model, to: model, weightsOnly: true });
    } catch (error) {
      model.destroy();
      throw error;
    }
    unit.tokensPerStep = model.plan.tokens;
    return new UnitRun(gpu, options, { unit, model, isDense, base });
  }

  async finish(): Promise<TrainedUnit> {
    const { experiment, checkpoints, onTrained } = this.#options;
    const { first, resume } = experiment.steps;
    await this.#evaluateBase();
    await this.#trainTo(first);
    await this.#evaluate("switch");
    await this.#switch();
    await this.#trainTo(first + resume);
    await this.#evaluate("end");
    await onTrained?.(this.#model);
    await checkpoints?.remove();
    return this.#unit;
  }

  destroy(): void {
    this.#model.destroy();
  }

  /** Trains in blocks, after each of which the losses are read. */
  async #trainTo(end: number): Promise<void> {
    const { experiment, onProgress, signal } = this.#options;
    const unit = this.#unit;
    const isFirst = end <= experiment.steps.first;
    while (unit.losses.length < end) {
      const started = performance.now();
      const before = unit.losses.length;
      const steps = Math.min(this.#block, end - before, MOST_BLOCK);
      let stopped: unknown;
      try {
        await this.#model.run(steps, { signal });
      } catch (error) {
        if (!signal?.aborted) throw error;
        stopped = error;
      }
      const { attempts } = await this.#model.readState();
      const done = attempts - before;
      const lines = done > 0 ? await this.#model.readHistory(done) : [];
      this.#take(lines);
      const seconds = (performance.now() - started) / 1e3;
      unit.seconds = {
        ...unit.seconds,
        ...(isFirst
          ? { first: unit.seconds.first + seconds }
          : { resume: unit.seconds.resume + seconds }),
      };
      if (isFirst) unit.firstSteps += done;
      else unit.resumeSteps += done;
      if (done > 0) {
        const secondsPerStep = seconds / done;
        onProgress?.({ step: attempts, loss: lines.at(-1)!.loss, secondsPerStep });
        this.#block = Math.max(1, Math.round(BLOCK_SECONDS / secondsPerStep));
      }
      if (stopped !== undefined) {
        await this.#save();
        throw stopped;
      }
      if (performance.now() - this.#savedAt > CHECKPOINT_SECONDS * 1e3) await this.#save();
    }
  }

  #take(lines: readonly HistoryLine[]): void {
    const unit = this.#unit;
    const lost = lines.find(({ loss }) => !Number.isFinite(loss));
    if (lost) {
      throw new RangeError(`train ${unit.case}: the loss of step ${lost.step} is not finite`);
    }
    // Six digits: more than a curve shows, and half of the file.
    unit.losses = [...unit.losses, ...lines.map(({ loss }) => Number(loss.toPrecision(6)))];
    const skipped = lines.filter((line) => line.skipped).map(({ step }) => step);
    unit.skippedSteps = [...unit.skippedSteps, ...skipped];
  }

  /** Evaluates the base for the first arm of its seed, and takes that evaluation for the others. */
  async #evaluateBase(): Promise<void> {
    const base = this.#base;
    if (!base) return;
    if (base.evaluation) this.#unit.evaluations = [base.evaluation];
    else await this.#evaluate("base");
    base.evaluation = this.#unit.evaluations[0];
  }

  /** Evaluates the model, unless a checkpoint has that evaluation. */
  async #evaluate(when: EvaluationRecord["when"]): Promise<void> {
    const { evaluator, onStep, signal, unit } = this.#options;
    if (this.#unit.evaluations.some((one) => one.when === when)) return;
    onStep?.(`evaluation at the ${when}`);
    const started = performance.now();
    try {
      const found = await evaluator.evaluate(this.#model, { name: unit.id, signal });
      const seconds = (performance.now() - started) / 1e3;
      const step = this.#unit.losses.length;
      this.#unit.evaluations = [...this.#unit.evaluations, { when, step, seconds, ...found }];
    } catch (error) {
      if (signal?.aborted) await this.#save();
      throw error;
    }
  }

  /** Goes on with every layer dense: same weights, moments, data. */
  async #switch(): Promise<void> {
    if (this.#isDense) return;
    const dense = await createModel(this.#gpu, this.#options, true);
    await copyState(this.#gpu, { from: this.#model, to: dense });
    this.#model.destroy();
    this.#model = dense;
    this.#isDense = true;
    this.#block = 1;
  }

  async #save(): Promise<void> {
    const { checkpoints } = this.#options;
    if (!checkpoints || this.#unit.losses.length === 0) return;
    const metadata = { [UNIT_KEY]: JSON.stringify(this.#unit) };
    await checkpoints.save(saveCheckpoint(this.#gpu, this.#model, { metadata }));
    this.#savedAt = performance.now();
  }
}

function createModel(
  gpu: Gpu,
  { experiment, unit: { arm, seed }, dtype, corpus }: TrainUnitOptions,
  dense: boolean,
): Promise<TrainingModel> {
  return createTrainingModel(gpu, modelOf(experiment, { arm, dense, dtype }), {
    seed,
    stream: streamOf(experiment, seed, corpus),
  });
}

/** The unit's record in the header of a checkpoint. */
async function readDraft(saved: Blob): Promise<Draft> {
  const length = Number(new DataView(await saved.slice(0, 8).arrayBuffer()).getBigUint64(0, true));
  const header = JSON.parse(await saved.slice(8, 8 + length).text());
  return JSON.parse(header.__metadata__[UNIT_KEY]);
}

/** The id of the unit that a checkpoint is of; undefined where it is none of ours. */
export async function unitOfCheckpoint(saved: Blob): Promise<string | undefined> {
  try {
    return (await readDraft(saved)).case;
  } catch {
    return undefined;
  }
}
