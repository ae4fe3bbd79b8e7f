/**
 * Compares the gradients of a model on a device with float64, for tests.
 *
 * Errors are root mean squares over a parameter, relative to its gradient. They are judged by what
 * rounding alone does: the reference that rounds whatever the device stores, and nothing else.
 *
 * @module
 */
import type { Gpu } from "../../gpu/device.ts";
import { tinyBatch, tinyWeights } from "./_tiny_model.ts";
import type { ModelOptions } from "./model_options.ts";
import { modelReference } from "./model_reference.ts";
import { createTrainingModel, type TrainingModel } from "./training_model.ts";

/** Errors of the gradient of one parameter. */
export interface GradientErrors {
  readonly name: string;
  /** Of the device against float64. */
  readonly device: number;
  /** Of the rounded reference against float64. */
  readonly rounded: number;
  /** Of the device against the rounded reference. */
  readonly between: number;
}

/** The gradients of a model, its losses, and the selections that a device made. */
export async function compareGradients(gpu: Gpu, options: ModelOptions) {
  const { dtype } = options;
  const { all, tokens, targets } = tinyBatch(options);
  const model = await createTrainingModel(gpu, options);
  model.writeBatch(all);
  await model.runGradients();
  const selections = new Map<number, Int32Array>();
  for (const [layer, { geometry }] of model.plan.attention.entries()) {
    if (geometry) selections.set(layer, await model.readSelection(layer));
  }
  const weights = tinyWeights(options);
  const { lossScale } = model.plan.model.optimizer;
  const given = { tokens, targets, selections };
  const exact = modelReference(options, weights, given);
  const rounded = modelReference(options, weights, {
    ...given,
    stored: dtype === "f16" ? Math.f16round : Math.fround,
    floats: Math.fround,
    lossScale,
  });
  const errors: GradientErrors[] = [];
  for (const { name } of model.plan.parameters) {
    const have = await readGradient(model, name, lossScale);
    const [want, other] = [exact.gradients.get(name)!, rounded.gradients.get(name)!];
    const size = Math.hypot(...want);
    const distance = (a: ArrayLike<number>, b: ArrayLike<number>) => {
      let sum = 0;
      for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
      return Math.sqrt(sum) / size;
    };
    errors.push({
      name,
      device: distance(have, want),
      rounded: distance(other, want),
      between: distance(have, other),
    });
  }
  const losses = await model.readLosses();
  const ranked = modelReference(options, weights, { tokens, targets, gradients: false });
  model.destroy();
  return {
    errors,
    losses,
    exact,
    rounded,
    selections,
    rankedSelections: ranked.selections,
  };
}

async function readGradient(
  model: TrainingModel,
  name: string,
  lossScale: number,
): Promise<Float64Array> {
  return Float64Array.from(await model.readParameter(name, "gradient"), (one) => one / lossScale);
}
