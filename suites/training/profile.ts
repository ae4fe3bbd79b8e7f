/**
 * The suite's section of a profile, and the models that options make of it.
 *
 * @module
 */
import { z } from "zod";
import { RECOMPUTE_MODES } from "../../kernels/training/attention/types.ts";
import type { Planning } from "../plan/grid.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import { kRuleSchema, type OptionGrid, optionGridSchema } from "../plan/profile.ts";
import type { TrainingOptions } from "./options.ts";
import { trainingRecord } from "./record.ts";

const count = z.int().positive();
const list = <T extends z.ZodType>(item: T) => z.array(item).min(1);

/** Lighthouse attention of the layers between the ends: scorers, and values of their options. */
const layersSchema = z.strictObject({
  scorers: list(z.string()),
  /** All combinations; a scorer ignores what it does not have. */
  options: optionGridSchema,
});

/** A model, trained with dense attention and with each Lighthouse attention. */
const modelSchema = z.strictObject({
  layers: count,
  width: count,
  heads: count,
  ffn: count,
  /** V; each is a model of its own. */
  vocabularies: list(count),
  /** N; each is a model of its own. */
  contexts: list(count),
  /** Each is a case of its own. */
  recompute: list(z.enum(RECOMPUTE_MODES)),
  /** Layers at each end that stay dense under Lighthouse. */
  denseEnds: z.int().nonnegative(),
  /** Sequences that run at once. Default 1. */
  batch: count.optional(),
  /** Batches of a step. Default 1. */
  accumulate: count.optional(),
  lighthouse: z.array(layersSchema),
});

/** Models to train, and steps of the determinism check. */
export const trainingSection = z.strictObject({
  models: list(modelSchema),
  checkedSteps: count,
});

/** The section. */
export type TrainingSection = z.infer<typeof trainingSection>;

/** A model of the section. */
export type ModelSetting = TrainingSection["models"][number];

/** The options of the suite. */
export function trainingOptions({ settings }: Pick<PlanOptions, "settings">): TrainingOptions {
  return settings?.[trainingRecord.name] ?? {};
}

/**
 * The section with the options applied. Options that choose the model or its context leave one
 * model of several: the first.
 */
export function applyTraining(
  section: TrainingSection,
  options: Pick<PlanOptions, "settings" | "contexts" | "scorers" | "options">,
): TrainingSection {
  const { model, vocabularies, recompute, batch, accumulate } = trainingOptions(options);
  const { contexts, scorers, options: values } = options;
  const narrowed = [model, vocabularies, recompute, contexts, scorers, values]
    .some((one) => one !== undefined);
  const models = narrowed ? section.models.slice(0, 1) : section.models;
  return {
    ...section,
    models: models.map((one): ModelSetting => ({
      ...one,
      ...model,
      // Of a model with fewer layers the ends would be all of it.
      ...(model && { denseEnds: model.layers > 2 * one.denseEnds ? one.denseEnds : 0 }),
      vocabularies: [...vocabularies ?? one.vocabularies],
      contexts: [...contexts ?? one.contexts],
      recompute: [...recompute ?? one.recompute],
      ...(batch && { batch }),
      ...(accumulate && { accumulate }),
      lighthouse: scorers || values ? [chosenLayers(one, { scorers, values })] : one.lighthouse,
    })),
  };
}

/**
 * Lighthouse attention as options choose it; what they leave out is that of the first of the
 * profile.
 */
function chosenLayers(
  { lighthouse }: ModelSetting,
  { scorers, values }: Pick<Planning["options"], "scorers"> & { values?: PlanOptions["options"] },
): ModelSetting["lighthouse"][number] {
  const first = lighthouse.at(0) ?? { scorers: ["norm"], options: {} };
  const given = Object.entries(values ?? {}).map(([name, list]) => [
    name,
    list.map((value) => kRuleSchema.parse(value)),
  ]);
  const all = lighthouse.flatMap((one) => one.scorers);
  return {
    scorers: [...scorers ?? (all.length > 0 ? new Set(all) : first.scorers)],
    options: { ...firstValues(first.options), ...Object.fromEntries(given) },
  };
}

function firstValues(grid: OptionGrid): OptionGrid {
  return Object.fromEntries(Object.entries(grid).map(([name, [first]]) => [name, [first]]));
}
