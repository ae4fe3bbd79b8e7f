/**
 * A tiny model for tests: a dense layer and a Lighthouse layer of norm scores, whose shapes the
 * tests share, so that a device compiles them once.
 *
 * @module
 */
import type { ModelOptions } from "./model_options.ts";
import { initOf } from "./fill_model.ts";
import { modelParameters } from "./parameters.ts";
import { seededWeights } from "../weights/init_weights.ts";

/** Two layers of width 64. */
export const TINY: Omit<ModelOptions, "dtype"> = {
  layers: 2,
  width: 64,
  heads: 2,
  ffn: 96,
  vocabulary: 64,
  context: 256,
  batch: 2,
  attention: [
    { kind: "dense" },
    { kind: "lighthouse", scorer: "norm", options: { levels: 2, pooling: 2, k: 128 } },
  ],
  optimizer: { warmup: 4, learningRate: 5e-3 },
};

/** Bytes that can be learnt soon: runs of numbers, of a period that is no power of two. */
export function tinyCorpus(length = 3000): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i % 23) + (i % 46 >= 23 ? 30 : 0));
}

/** Tokens of a batch with the one after their last, and both apart. */
export function tinyBatch({ batch = 1, context, vocabulary }: Omit<ModelOptions, "dtype">) {
  const all = Uint32Array.from(
    { length: batch * (context + 1) },
    (_, i) => (i * i * 7 + 3 * i) % (vocabulary - 3),
  );
  return {
    all,
    tokens: all.filter((_, i) => i % (context + 1) < context),
    targets: all.filter((_, i) => i % (context + 1) > 0),
  };
}

/** The weights that a seed gives, on the host. */
export function tinyWeights(options: Omit<ModelOptions, "dtype">, seed = 1) {
  return new Map(
    modelParameters(options).map((parameter, i) => [
      parameter.name,
      seededWeights(initOf(parameter, i, seed)),
    ]),
  );
}
