/**
 * Runs the units of an experiment on a device and records them.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import { DeviceLostError } from "../../kernels/gpu/timing.ts";
import { IMPLEMENTATIONS } from "../../kernels/implementations.ts";
import { DENSE } from "../../kernels/training/attention/types.ts";
import { planTraining } from "../../kernels/training/model/model_plan.ts";
import type { TrainingModel } from "../../kernels/training/model/training_model.ts";
import { drawSequences } from "../../kernels/training/stream/stream_twin.ts";
import { errorLine, UsageError } from "../errors.ts";
import type { Shard } from "../plan/shard.ts";
import { hashJson, sha256 } from "../result/digest.ts";
import { implementationRecords } from "../result/implementation_record.ts";
import {
  type CaseRecord,
  type ExperimentRecord,
  type Result,
  SCHEMA_VERSION,
  type StackChoiceRecord,
} from "../result/result_schema.ts";
import { baseModelOf, BaseModels } from "./base_model.ts";
import type { Corpus } from "./corpus.ts";
import { Evaluator, planEvaluation } from "./evaluator.ts";
import { type Experiment, type LoadedExperiment, modelOf, streamOf } from "./experiment.ts";
import { experimentsRecord } from "./record.ts";
import { type CheckpointStore, trainUnit, type UnitProgress } from "./train_unit.ts";
import { chooseUnits, describeChoice, type Unit, type UnitChoice, unitsOfShard } from "./units.ts";

/** What a run of an experiment is told. */
export interface ExperimentRunOptions extends UnitChoice {
  readonly loaded: LoadedExperiment;
  readonly corpus?: Corpus;
  readonly shard?: Shard;
  /** No unit starts that is not expected to end within this time. Default: none is left out. */
  readonly budgetSeconds?: number;
  /** The command line, for the result. */
  readonly command: readonly string[];
}

/** What a run takes from its machine. */
export interface ExperimentHost {
  readonly gpu: Gpu;
  readonly stackChoice?: StackChoiceRecord;
  readonly tool: Result["tool"];
  readonly environment: Result["environment"];
  /** SHA-256 of the shaders and their generators. */
  readonly wgsl: string;
}

/** What is reported while a run is in progress. */
export interface ExperimentHooks {
  /** A unit has begun, or goes on. */
  readonly onProgress?: (progress: {
    readonly unit: Unit;
    /** Units finished. */
    readonly done: number;
    /** Units of this run. */
    readonly total: number;
    /** Steps of the unit. */
    readonly steps: number;
    readonly training?: UnitProgress;
    /** What else is being done. */
    readonly text?: string;
  }) => void;
  /** The result has changed: a unit is finished. */
  readonly onResult?: (result: Result, unit?: CaseRecord) => Promise<void>;
  readonly checkpoints?: CheckpointStore;
  /** Called with a trained model before it is freed. */
  readonly onTrained?: (unit: Unit, model: TrainingModel) => Promise<void>;
  readonly signal?: AbortSignal;
}

/** In the deviation of a run that its budget ended. Resuming takes the line back. */
const LEFT_OUT = "units were left out:";

/** A run that is planned and not begun. */
export interface PlannedExperiment {
  /** Of this run, without a unit. */
  readonly result: Result;
  /** Of this run. */
  readonly units: readonly Unit[];
}

/**
 * Plans a run: its units, and a result without any.
 *
 * @throws {UsageError} one line, when an arm or a seed is unknown, the model does not fit the
 * device, or the experiment needs a corpus and none is given.
 */
export async function planExperiment(
  options: ExperimentRunOptions,
  host: ExperimentHost,
): Promise<PlannedExperiment> {
  const { loaded: { experiment, hash, registered }, corpus, shard, command } = options;
  const { gpu, stackChoice, tool, environment, wgsl } = host;
  const dtype = gpu.capabilities.f16 ? "f16" : "f32";
  const all = chooseUnits(experiment, options);
  const units = unitsOfShard(all, shard);
  const cases = all.map((unit) => caseOf(gpu, { experiment, unit, dtype }));
  const record: ExperimentRecord = {
    name: experiment.name,
    title: experiment.title,
    registration: {
      hash,
      registered,
      experiment: { ...experiment },
      deviations: describeDeviations(options, dtype),
    },
    data: await describeData(experiment, corpus),
    check: null,
    units: [],
  };
  const configuration = {
    experiment: hash,
    units: all.map(({ id }) => id),
    dtype,
    stack: gpu.stack,
    ...(corpus && { corpus: corpus.sha256 }),
  };
  const plan = await hashJson(configuration);
  return {
    units,
    result: {
      schemaVersion: SCHEMA_VERSION,
      tool,
      startedAt: new Date().toISOString(),
      finishedAt: null,
      command: [...command],
      profile: experiment.name,
      stack: gpu.stack,
      ...(stackChoice && { stackChoice }),
      seed: experiment.seeds[0],
      configuration,
      hashes: { wgsl, configuration: plan, plan },
      ...(shard && {
        shard: { ...shard, plan, cases: cases.map(({ id }) => id) },
      }),
      environment,
      calibration: null,
      implementations: implementationRecords(
        IMPLEMENTATIONS.filter(({ name }) => cases.some((one) => one.implementation === name)),
      ),
      cases: [],
      ratios: [],
      experiment: record,
      notes: [],
    },
  };
}

/**
 * Trains the units of a run that its result does not have yet, one after the other.
 *
 * @returns the result; `finishedAt` is null where the run was stopped.
 * @throws {DeviceLostError} when the device was lost.
 */
export async function runExperiment(
  planned: PlannedExperiment,
  options: ExperimentRunOptions,
  { host, hooks = {} }: { host: ExperimentHost; hooks?: ExperimentHooks },
): Promise<Result> {
  const { loaded: { experiment }, corpus, budgetSeconds = Infinity } = options;
  const { onProgress, onResult, onTrained, checkpoints, signal } = hooks;
  const { gpu } = host;
  const dtype = gpu.capabilities.f16 ? "f16" : "f32";
  const { units } = planned;
  const result = structuredClone(planned.result);
  const record = result.experiment!;
  const started = performance.now();
  const elapsed = () => (performance.now() - started) / 1e3;
  const took = new Map<string, number>();
  const plan = planEvaluation(experiment, corpus?.heldOut);
  const evaluator = new Evaluator(gpu, { experiment, plan, dtype });
  const bases = new BaseModels(gpu, { experiment, dtype, corpus: corpus?.training });
  const steps = experiment.steps.first + experiment.steps.resume;
  result.cases = result.cases.filter(({ status }) => status === "ok");
  const { registration } = record;
  registration.deviations = registration.deviations.filter((line) => !line.includes(LEFT_OUT));
  try {
    for (const unit of units) {
      const done = result.cases.length;
      if (result.cases.some(({ id }) => id === unit.id)) continue;
      if (signal?.aborted) break;
      const about = { unit, done, total: units.length, steps };
      const own = caseOf(gpu, { experiment, unit, dtype });
      const expected = took.get(unit.arm.name) ?? Math.max(0, ...took.values());
      if (elapsed() + expected > budgetSeconds) {
        const reason = `it would not end within the budget of ${budgetSeconds} s`;
        result.cases.push({ ...own, status: "skipped", reason });
        continue;
      }
      onProgress?.(about);
      const begun = performance.now();
      try {
        const trained = await trainUnit(gpu, {
          experiment,
          unit,
          dtype,
          evaluator,
          bases,
          corpus: corpus?.training,
          checkpoints,
          signal,
          onProgress: (training) => onProgress?.({ ...about, training }),
          onStep: (text) => onProgress?.({ ...about, text }),
          onTrained: async (model) => {
            await onTrained?.(unit, model);
            if (record.check !== null) return;
            onProgress?.({ ...about, text: "check against float64" });
            record.check = await evaluator.check(model);
          },
        });
        record.units.push(trained);
        result.cases.push({ ...own, status: "ok" });
        took.set(unit.arm.name, (performance.now() - begun) / 1e3);
      } catch (error) {
        if (signal?.aborted) break;
        if (error instanceof DeviceLostError) throw error;
        // Anything else is a fault of this unit; others may go on.
        result.cases.push({ ...own, status: "failed", reason: errorLine(error) });
      }
      await onResult?.(result, result.cases.at(-1));
    }
  } finally {
    evaluator.destroy();
    bases.destroy();
  }
  const skipped = result.cases.filter(({ status }) => status === "skipped").length;
  if (skipped > 0) {
    registration.deviations.push(
      `${skipped} of ${units.length} ${LEFT_OUT} the budget of ${budgetSeconds} s`,
    );
  }
  if (!signal?.aborted) result.finishedAt = new Date().toISOString();
  await onResult?.(result);
  return result;
}

/** A case of a unit before it ran. */
function caseOf(
  gpu: Gpu,
  { experiment, unit, dtype }: { experiment: Experiment; unit: Unit; dtype: "f16" | "f32" },
): CaseRecord {
  const { id, arm } = unit;
  const { first, resume } = experiment.steps;
  const planOf = (dense: boolean) => {
    try {
      // A base that does not fit is refused with the rest, before anything is trained.
      if (experiment.base) planTraining(gpu, baseModelOf(experiment, experiment.base, dtype));
      return planTraining(gpu, modelOf(experiment, { arm, dense, dtype }));
    } catch (error) {
      if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
      throw new UsageError(`experiment ${experiment.name}, arm ${arm.name}: ${error.message}`);
    }
  };
  const plans = [planOf(false), planOf(true)];
  const [flops, denseFlops] = plans.map((plan) => plan.flops).map((one) =>
    one.products + one.attention + one.scorers + one.recomputed
  );
  const { heads, headDim, context, batch } = plans[0].model;
  const gathered = plans[0].attention.find(({ geometry }) => geometry)?.geometry?.gathered;
  return {
    id,
    suite: experimentsRecord.name,
    implementation: arm.scorer === undefined ? DENSE.kind : `lighthouse-${arm.scorer}`,
    direction: "forward-backward",
    shape: { batch: 1, heads: heads * batch, context, headDim, dtype },
    family: arm.scorer === undefined ? DENSE.kind : "lighthouse",
    ...(arm.scorer !== undefined && { scorer: arm.scorer }),
    ...(arm.options && { options: { ...arm.options } }),
    ...(gathered !== undefined && { gathered }),
    status: "ok",
    flops: first * flops + resume * denseFlops,
    bytes: 0,
    peakBytes: Math.max(...plans.map(({ peakBytes }) => peakBytes)),
    stages: [],
    samples: [],
  };
}

/** In what a run differs from what was registered, before it began. */
function describeDeviations(options: ExperimentRunOptions, dtype: "f16" | "f32"): string[] {
  const { loaded: { experiment, registered }, corpus } = options;
  const text = corpus ? "corpus" : "language";
  return [
    ...(registered ? [] : ["the experiment is not one of the committed ones"]),
    ...describeChoice(experiment, options),
    ...(text === experiment.data.text ? [] : [
      corpus
        ? "text of a corpus instead of the synthetic language"
        : "text of the synthetic language instead of a corpus",
    ]),
    ...(dtype === "f16" ? [] : ["f32 instead of f16, which the device lacks"]),
  ];
}

async function describeData(
  experiment: Experiment,
  corpus: Corpus | undefined,
): Promise<ExperimentRecord["data"]> {
  const { model: { context, batch }, seeds } = experiment;
  const sequences = [
    ...planEvaluation(
      { ...experiment, evaluation: { heldOut: experiment.evaluation.heldOut } },
      corpus?.heldOut,
    ).heldOut,
    ...seeds.flatMap((seed) =>
      drawSequences(streamOf(experiment, seed, corpus?.training), {
        context,
        step: 0,
        sequences: batch,
      }).map(({ bytes }) => bytes)
    ),
  ];
  const joined = new Uint8Array(sequences.length * (context + 1));
  sequences.forEach((one, i) => joined.set(one, i * (context + 1)));
  return {
    text: corpus ? "corpus" : "language",
    digest: await sha256(joined),
    ...(corpus && {
      corpus: {
        bytes: corpus.training.length + corpus.heldOut.length,
        sha256: corpus.sha256,
        heldOutBytes: corpus.heldOut.length,
      },
    }),
  };
}
