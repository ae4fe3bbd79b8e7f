/**
 * Tiny models after some steps, and the comparison of their bits, for tests.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Gpu } from "../../gpu/device.ts";
import { TINY, tinyCorpus } from "./_tiny_model.ts";
import type { ModelOptions } from "./model_options.ts";
import { createTrainingModel, type TrainingModel } from "./training_model.ts";

/** The tiny model in f16. */
export const F16 = { ...TINY, dtype: "f16" } as const;
/** Where its batches come from. */
export const SAMPLER = { corpus: tinyCorpus(), seed: 3 };

/** Every parameter and moment, by name. */
export async function readAll(model: TrainingModel): Promise<Map<string, Float32Array>> {
  const all = new Map<string, Float32Array>();
  for (const { name } of model.plan.parameters) {
    for (const part of ["weights", "first moment", "second moment"] as const) {
      all.set(`${name} ${part}`, await model.readParameter(name, part));
    }
  }
  return all;
}

/** Requires two sets of numbers to be the same to the bit. */
export function assertEqualBits(
  one: ReadonlyMap<string, Float32Array>,
  other: ReadonlyMap<string, Float32Array>,
): void {
  for (const [name, values] of one) {
    const [a, b] = [values, other.get(name)!].map((data) =>
      new Uint32Array(data.buffer, data.byteOffset, data.length)
    );
    const at = a.findIndex((bits, i) => bits !== b[i]);
    assert.ok(at < 0, `${name}: element ${at} is ${values[at]} and ${other.get(name)![at]}`);
  }
}

/**
 * Losses and norms of some steps of a fresh model, and parameters and moments after them unless
 * `read` is false.
 */
export async function trained(
  gpu: Gpu,
  options: Partial<ModelOptions>,
  { steps = 3, seed = 1, read = true } = {},
) {
  const model = await createTrainingModel(gpu, { ...F16, ...options }, { sampler: SAMPLER, seed });
  await model.run(steps);
  const all = read ? await readAll(model) : new Map<string, Float32Array>();
  const history = await model.readHistory();
  model.destroy();
  return { all, history };
}
