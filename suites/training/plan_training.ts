/**
 * The cases of the suite `training`: whole steps of a model, dense and Lighthouse, and of peers.
 *
 * @module
 */
import type { DType } from "../../kernels/gpu/buffers.ts";
import type { ImplementationPlan, LayerOptions } from "../../kernels/implementation.ts";
import {
  DENSE,
  type LayerAttention,
  type Recompute,
} from "../../kernels/training/attention/types.ts";
import { endsDense, type ModelOptions } from "../../kernels/training/model/model_options.ts";
import { planTraining, type TrainingPlan } from "../../kernels/training/model/model_plan.ts";
import { errorLine, UsageError } from "../errors.ts";
import { isAsked, type Planning } from "../plan/grid.ts";
import type { Measurable } from "../plan/measurable.ts";
import { usableMemory } from "../plan/memory_limit.ts";
import { type PlannedCase, type PlannedGroup, problemId } from "../plan/planned_case.ts";
import { resolveRule, sectionOf } from "../plan/profile.ts";
import {
  applyTraining,
  type ModelSetting,
  trainingOptions,
  type TrainingSection,
  trainingSection,
} from "./profile.ts";
import { trainingRecord } from "./record.ts";
import { stepStages } from "./step_cost.ts";

/** The only direction of a step. */
export const STEP_DIRECTION = "forward-backward";

/** Most bytes of a corpus that lies on the device: batches of a benchmark need no more. */
export const MOST_CORPUS_BYTES = 2 ** 24;

/** Sequences that seeded data hold at least. */
const SEEDED_SEQUENCES = 4;

/** A step of one model, planned as a case. */
export interface PlannedStep {
  readonly entry: PlannedCase;
  /** What is created; `flopsPerDispatch` is added when the device's rate is known. */
  readonly options: ModelOptions;
  readonly denseEnds: number;
  /** Bytes of the corpus on the device. */
  readonly corpusBytes: number;
  /** Absent where it cannot be planned. */
  readonly plan?: TrainingPlan;
  /** What trains, if it is not ours. */
  readonly peer?: Measurable;
}

/** A model with dense attention and with others, which are measured in the same rounds. */
export interface StepGroup extends PlannedGroup {
  /** Of all its cases, by id. */
  readonly steps: ReadonlyMap<string, PlannedStep>;
  readonly checkedSteps: number;
}

/** The suite's share of a run. */
export interface PlannedTraining {
  readonly groups: readonly StepGroup[];
  readonly section: TrainingSection;
}

/**
 * Plans the models of a run; undefined if it has none.
 *
 * @throws {UsageError} one line, when the suite was asked for by name and no model can run.
 */
export function planTrainingSuite(planning: Planning): PlannedTraining | undefined {
  const { profile, options } = planning;
  const { name } = trainingRecord;
  if (!profile.suites.includes(name)) return undefined;
  const own = sectionOf(profile, name, trainingSection);
  if (!own) return undefined;
  const section = applyTraining(own, options);
  const groups = section.models.flatMap((model) => planModel(planning, { model, section }));
  const cases = groups.flatMap(({ baseline, candidates }) => [
    ...baseline ? [baseline] : [],
    ...candidates,
  ]);
  const ours = cases.filter(({ implementation }) => !implementation.startsWith("peer:"));
  if (isAsked(options, name) && ours.length > 0 && ours.every(({ skip }) => skip)) {
    throw new UsageError(ours[0].skip!);
  }
  return { groups, section };
}

function planModel(
  planning: Planning,
  { model, section }: { model: ModelSetting; section: TrainingSection },
): StepGroup[] {
  const { registry, options } = planning;
  const named = options.implementations;
  const peers = registry.filter(({ training }) => training);
  return model.vocabularies.flatMap((vocabulary) =>
    model.contexts.flatMap((context) =>
      model.recompute.map((recompute, i): StepGroup => {
        const step = (attention: LayerAttention, peer?: Measurable) =>
          planStep(planning, { model, vocabulary, context, recompute, attention, peer });
        const dense = step(DENSE);
        const arms = lighthouseArms(planning, { model, context });
        // Most train dense models alone, which is no reason for a list of skipped cases.
        const peerSteps = (peer: Measurable) => [
          step(DENSE, peer),
          ...arms.map((attention) => step(attention, peer)).filter(({ entry }) => !entry.skip),
        ];
        const candidates = [
          ...arms.map((attention) => step(attention)),
          // How a peer recomputes is its own affair.
          ...i === 0 ? peers.flatMap((peer) => peerSteps(peer)) : [],
        ].filter(({ entry }) =>
          !named || entry.implementation.startsWith("peer:") ||
          named.includes(entry.implementation)
        );
        const baseline = !named || named.includes(dense.entry.implementation) ? dense : undefined;
        const all = [...baseline ? [baseline] : [], ...candidates];
        return {
          ...(baseline && { baseline: baseline.entry }),
          candidates: [...new Map(candidates.map(({ entry }) => [entry.id, entry])).values()],
          steps: new Map(all.map((one) => [one.entry.id, one])),
          checkedSteps: section.checkedSteps,
        };
      })
    )
  );
}

/** All Lighthouse attentions of a model at a context. */
function lighthouseArms(
  { registry }: Pick<Planning, "registry">,
  { model, context }: { model: ModelSetting; context: number },
): LayerAttention[] {
  return model.lighthouse.flatMap(({ scorers, options: grid }) =>
    scorers.flatMap((scorer) => {
      const found = registry.find((one) => one.scorer?.name === scorer && !one.peer);
      if (!found) throw new UsageError(`training: scorer ${scorer} is not one that can train`);
      let chosen: LayerOptions[] = [{}];
      for (const option of found.options) {
        const rules = grid[option.name] ?? [option.initial];
        chosen = chosen.flatMap((one) =>
          rules.map((rule) => ({ ...one, [option.name]: resolveRule(rule, context, option) }))
        );
      }
      return chosen.map((options) => ({ kind: "lighthouse" as const, scorer, options }));
    })
  );
}

interface StepChoice {
  readonly model: ModelSetting;
  readonly vocabulary: number;
  readonly context: number;
  readonly recompute: Recompute;
  readonly attention: LayerAttention;
  readonly peer?: Measurable;
}

function planStep(planning: Planning, choice: StepChoice): PlannedStep {
  const { device, dtype, registry } = planning;
  const { model, context, attention, peer } = choice;
  const { denseEnds } = model;
  const options = modelOptions(choice, dtype);
  const corpusBytes = trainingOptions(planning.options).corpus === undefined
    ? seededBytes(options)
    : MOST_CORPUS_BYTES;
  const name = attention.kind === "dense" ? "dense" : `lighthouse-${attention.scorer}`;
  const implementation = peer?.name ?? name;
  const registered = registry.find((one) => one.name === name);
  const problem = {
    shape: { heads: model.heads, context, headDim: model.width / model.heads, dtype },
    direction: STEP_DIRECTION,
    ...(attention.kind === "lighthouse" && { options: attention.options }),
  } as const;
  const base = {
    id: [
      trainingRecord.name,
      implementation,
      STEP_DIRECTION,
      stepId(problemId(problem, registered?.options ?? []), options),
    ].join("/"),
    suite: trainingRecord.name,
    implementation,
    family: attention.kind === "dense" ? "dense" : "lighthouse",
    ...(attention.kind === "lighthouse" && { scorer: attention.scorer as string }),
    direction: STEP_DIRECTION,
    problem,
    sweeps: [],
    rate: `${trainingRecord.name}/${implementation}`,
  } as const;
  const known = { options, denseEnds, corpusBytes, ...(peer && { peer }) };
  const most = usableMemory(device);
  try {
    const memoryBytes = peer || most === Infinity ? undefined : most;
    const plan = planTraining(device, options, { corpusBytes, memoryBytes });
    const refused = peer?.training?.refuses(plan.model);
    const entry = { ...base, plan: casePlan(plan, peer), ...(refused && { skip: refused }) };
    return { ...known, entry: { ...entry, course: courseOf(planning) }, plan };
  } catch (error) {
    if (!(error instanceof RangeError || error instanceof TypeError)) throw error;
    return { ...known, entry: { ...base, skip: errorLine(error) } };
  }
}

/** What a case takes besides its samples: the checked steps twice, and a step with stages apart. */
function courseOf({ profile }: Planning): PlannedCase["course"] {
  const section = sectionOf(profile, trainingRecord.name, trainingSection)!;
  return { executions: 2 * section.checkedSteps + profile.samples.minimum + 1 };
}

function modelOptions(
  { model, vocabulary, context, recompute, attention }: StepChoice,
  dtype: DType,
): ModelOptions {
  const { layers, width, heads, ffn, denseEnds, batch, accumulate } = model;
  return {
    layers,
    width,
    heads,
    ffn,
    vocabulary,
    context,
    dtype,
    recompute,
    ...(batch && { batch }),
    ...(accumulate && { accumulate }),
    attention: endsDense(layers, attention, { ends: denseEnds }),
  };
}

/** Bytes of seeded data: some sequences of the context, and the target of the last. */
export function seededBytes(
  { context, batch = 1, accumulate = 1 }: Pick<ModelOptions, "context" | "batch" | "accumulate">,
): number {
  return SEEDED_SEQUENCES * context * batch * accumulate + 1;
}

/**
 * The layer's part of a case id with the model's: `N98304-H8-d128-f16-l30-w1024-f1536-V256-light`.
 */
function stepId(
  layer: string,
  { layers, width, ffn, vocabulary, batch = 1, accumulate = 1, recompute }: ModelOptions,
): string {
  return [
    layer,
    `l${layers}`,
    `w${width}`,
    `f${ffn}`,
    `V${vocabulary}`,
    ...batch > 1 ? [`B${batch}`] : [],
    ...accumulate > 1 ? [`A${accumulate}`] : [],
    recompute,
  ].join("-");
}

/** The plan of a step as that of a case. */
function casePlan(plan: TrainingPlan, peer?: Measurable): ImplementationPlan {
  const stages = stepStages(plan);
  const sum = (key: "flops" | "bytes") => stages.reduce((total, one) => total + one[key], 0);
  const total = { flops: sum("flops"), bytes: sum("bytes") };
  const gathered = plan.attention.find(({ geometry }) => geometry)?.geometry?.gathered;
  return {
    // What is inside a peer's step is unknown.
    stages: peer ? [{ name: "step", ...total }] : stages,
    ...total,
    buffers: plan.buffers.map(({ name, bytes }) => ({ name, bytes })),
    peakBytes: peer?.training?.peakBytes(plan.model) ?? plan.peakBytes,
    headsPerBlock: plan.model.heads,
    ...(gathered !== undefined && { gathered }),
  };
}
