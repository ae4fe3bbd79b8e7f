/**
 * Compares the gradients of a model on a device with float64, for tests.
 *
 * Errors are root mean squares over a parameter, relative to its gradient. They are judged by what
 * rounding alone does: the reference that rounds whatever the device stores, and nothing else.
 *
 * @module
 */
import type { Gpu } from "../../gpu/device.ts";
import { TINY, tinyBatch, tinyWeights } from "./_tiny_model.ts";
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

/** The gradients of the tiny model, its losses, and the selection that a device made. */
export async function compareGradients(gpu: Gpu, dtype: "f16" | "f32") {
  const options = { ...TINY, dtype };
  const { all, tokens, targets } = tinyBatch(options);
  const model = await createTrainingModel(gpu, options);
  model.writeBatch(all);
  await model.runGradients();
  const selections = new Map([[1, await model.readSelection(1)]]);
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
    selection: selections.get(1)!,
    rankedSelection: ranked.selections.get(1)!,
  };
}

async function readGradient(
  model: TrainingModel,
  name: string,
  lossScale: number,
): Promise<Float64Array> {
  return Float64Array.from(await model.readParameter(name, "gradient"), (one) => one / lossScale);
}
