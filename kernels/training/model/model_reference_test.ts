import assert from "node:assert/strict";
import { TINY, tinyBatch, tinyWeights } from "./_tiny_model.ts";
import type { ModelOptions } from "./model_options.ts";
import { modelReference } from "./model_reference.ts";

/** The derivative of the loss along a direction of one parameter, and the gradient along it. */
function slopes(
  options: ModelOptions,
  { name, weights, selections }: {
    name: string;
    weights: Map<string, Float64Array>;
    selections?: ReadonlyMap<number, ArrayLike<number>>;
  },
) {
  const { tokens, targets } = tinyBatch(options);
  const given = weights.get(name)!;
  const direction = given.map((_, i) => ((i * 7919) % 13 - 6) / 6);
  const length = Math.hypot(...direction);
  const lossAt = (step: number) =>
    modelReference(
      options,
      new Map([...weights, [name, given.map((value, i) => value + step * direction[i] / length)]]),
      { tokens, targets, selections, gradients: false },
    ).loss;
  const h = 1e-4;
  const gradient = modelReference(options, weights, { tokens, targets, selections })
    .gradients.get(name)!;
  return {
    finite: (lossAt(h) - lossAt(-h)) / (2 * h),
    exact: gradient.reduce((sum, value, i) => sum + value * direction[i] / length, 0),
    size: Math.hypot(...gradient),
  };
}

function wide(options: Omit<ModelOptions, "dtype">): Map<string, Float64Array> {
  // Weights of everyday size, so that every parameter matters.
  return new Map(
    [...tinyWeights(options)].map(([name, values]) => [
      name,
      Float64Array.from(values, (value) => value * (name.startsWith("layers") ? 5 : 1)),
    ]),
  );
}

Deno.test("gradients of every parameter of a dense model are the slopes of its loss", () => {
  const options = { ...TINY, dtype: "f32", context: 12, attention: { kind: "dense" } } as const;
  const weights = wide(options);
  for (const name of weights.keys()) {
    const { finite, exact, size } = slopes(options, { name, weights });
    assert.ok(Math.abs(finite - exact) < 1e-6 * size, `${name}: ${finite}, ${exact}`);
  }
});

Deno.test("gradients of a Lighthouse layer are the slopes of its loss with the selection frozen", () => {
  const options = { ...TINY, dtype: "f32", batch: 1, width: 32, heads: 1, ffn: 32 } as const;
  const weights = wide(options);
  const { tokens, targets } = tinyBatch(options);
  const { selections } = modelReference(options, weights, { tokens, targets, gradients: false });
  assert.equal(selections.get(1)!.length, 384);
  for (const name of ["layers.1.attention.qkv", "layers.1.attention_norm", "embedding"]) {
    const { finite, exact, size } = slopes(options, { name, weights, selections });
    assert.ok(Math.abs(finite - exact) < 1e-6 * size, `${name}: ${finite}, ${exact}`);
  }
});

Deno.test("a model of zeros knows nothing: the loss is the logarithm of the vocabulary", () => {
  const options = { ...TINY, dtype: "f32", context: 12, attention: { kind: "dense" } } as const;
  const weights = tinyWeights(options);
  weights.set("head", weights.get("head")!.map(() => 0));
  const { losses } = modelReference(options, weights, { ...tinyBatch(options), gradients: false });
  assert.ok(losses.every((loss) => Math.abs(loss - Math.log(64)) < 1e-12));
});
