/**
 * A model of ours as rounds time it: one execution is a whole step, its stages are classes of work.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { inspectSlices } from "../../kernels/gpu/inspect.ts";
import { MAX_PASSES, type Timer, type Timing } from "../../kernels/gpu/timing.ts";
import { STAGE_NAMES } from "../../kernels/training/model/step_stages.ts";
import {
  createTrainingModel,
  type HistoryLine,
} from "../../kernels/training/model/training_model.ts";
import type { Layer } from "../plan/measurable.ts";
import type { PlannedStep } from "./plan_training.ts";
import { loadStart, type Start } from "./start.ts";
import type { StepData } from "./step_data.ts";

/**
 * Share of the passes that can be timed which a step's stages may take: submissions cut some in
 * two.
 */
const STAGED_SHARE = 0.8;

/** A model that trains, and how many steps it did. */
export interface OwnModel extends Pick<Layer, "stages" | "execute"> {
  readonly steps: () => number;
  /** The last steps. */
  readonly history: () => Promise<HistoryLine[]>;
  /** Digest of all weights, and how many of them are not finite. */
  readonly inspect: () => Promise<{ digest: string; notFinite: number }>;
  readonly destroy: () => void;
}

/** What creates a model. */
export interface CreateOwnModel {
  readonly timer: Timer;
  readonly data: StepData;
  readonly seed: number;
  /** Default: seeded weights. */
  readonly start?: Start;
  /** Most FLOP of one dispatch of attention. Default: never cut. */
  readonly flopsPerDispatch?: number;
}

/**
 * Allocates a model of seeded weights, or of those of a checkpoint.
 *
 * @throws {MemoryError} when the device has no room.
 * @throws {ShaderError} when the device refuses a shader.
 */
export async function createOwnModel(
  gpu: Gpu,
  step: PlannedStep,
  { timer, data, seed, start, flopsPerDispatch }: CreateOwnModel,
): Promise<OwnModel> {
  const options = { ...step.options, ...(flopsPerDispatch && { flopsPerDispatch }) };
  const model = await createTrainingModel(gpu, options, {
    seed,
    sampler: { corpus: data.bytes, seed },
  });
  if (start) {
    try {
      await loadStart(gpu, model, start);
    } catch (error) {
      model.destroy();
      throw error;
    }
  }
  const places = model.stages.map(({ name }) => STAGE_NAMES.findIndex((one) => one === name));
  const staged = model.stages.length <= STAGED_SHARE * MAX_PASSES;
  let steps = 0;
  return {
    stages: STAGE_NAMES,
    steps: () => steps,
    execute: async (run = {}): Promise<Timing> => {
      const { stages, ...timing } = await timer.run(model.stages, {
        ...run,
        stages: run.stages && staged,
      });
      steps += run.repeat ?? 1;
      return { ...timing, stages: stages && addStages(stages, places) };
    },
    history: () => model.readHistory(),
    inspect: () => {
      const weights = model.plan.parameters.map(({ name }) => model.buffer(`${name} weights`));
      return inspectSlices(gpu, weights, "f32");
    },
    destroy: model.destroy,
  };
}

/** Seconds of each class of work: a step has many stages of one name. */
export function addStages(seconds: readonly number[], places: readonly number[]): number[] {
  const sums = STAGE_NAMES.map(() => 0);
  seconds.forEach((one, i) => sums[places[i]] += one);
  return sums;
}
