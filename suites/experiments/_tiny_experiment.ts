/**
 * The smallest experiment, for tests: its models have the shapes that the tests of training share.
 *
 * @module
 */
import { type Experiment, parseExperiment } from "./experiment.ts";

/** Two arms of two layers, five steps. */
export function tinyExperiment(): Experiment {
  return parseExperiment({
    format: "lighthouse-attention-bench/experiment",
    version: 1,
    name: "tiny",
    title: "Does it run",
    model: { layers: 2, width: 64, heads: 2, ffn: 96, context: 256, batch: 2 },
    optimizer: { learningRate: 5e-3, warmup: 1 },
    data: { text: "language", digitShare: 0.5, keyedShare: 0.25 },
    base: { context: 128, batch: 2, steps: 2, learningRate: 2e-3, warmup: 0 },
    steps: { first: 3, resume: 2 },
    arms: [
      { name: "dense", primary: true },
      {
        name: "norm",
        primary: true,
        scorer: "norm",
        options: { levels: 2, pooling: 2, k: 128 },
        placement: "all",
      },
      { name: "other", primary: false, learningRate: 1e-3 },
    ],
    seeds: [1, 2, 5],
    evaluation: {
      heldOut: 2,
      needles: { contexts: [64], depths: [50], prompts: 1 },
      keyed: { contexts: [64], depths: [50], prompts: 1, keys: 3 },
    },
    hypotheses: [
      {
        id: "T1",
        claim: "it is no worse",
        arm: "norm",
        against: "dense",
        measure: "held-out-loss",
        expect: "no-worse",
        margin: 0.01,
      },
    ],
    stopping: { leastSeeds: 2, rule: "all of it" },
  }, "tiny");
}
