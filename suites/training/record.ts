/**
 * What the suite `training` records: the part `training` of a case.
 *
 * @module
 */
import { z } from "zod";
import type { TrainingRecord } from "../result/result.ts";
import type { SuiteRecord } from "../result/suite_record.ts";

const count = z.int().positive();
const flops = z.number().nonnegative();
const bytes = z.number().nonnegative();

export const trainingSchema: z.ZodType<TrainingRecord> = z.looseObject({
  layers: count.describe("Layers of the model."),
  width: count.describe("Width of the residual stream: heads times head dimension."),
  ffn: count.describe("Width of the feed-forward part."),
  vocabulary: count.describe("V: rows of the embedding and of the head."),
  parameters: count.describe("Parameters of the model."),
  denseEnds: z.int().nonnegative().describe(
    "Layers at each end that are dense under Lighthouse; the paper has 2.",
  ),
  batch: count.describe("Sequences that run at once."),
  accumulate: count.describe("Batches whose gradients are added up in a step."),
  tokens: count.describe("Tokens of a step; `throughput` counts these."),
  recompute: z.enum(["none", "light", "least"]).describe(
    "What is computed again in the backward pass. A peer's own way is not known: `none`.",
  ),
  data: z.looseObject({
    kind: z.enum(["seeded", "corpus"]).describe(
      "`seeded`: random bytes of the run's seed, the same on every machine. `corpus`: a file's.",
    ),
    bytes: count.describe("Bytes that batches are drawn from."),
    digest: z.string().describe("SHA-256 of these bytes."),
  }).optional().describe("What the model was trained on; absent where the case did not run."),
  start: z.string().optional().describe(
    "SHA-256 of the checksums of the checkpoint that it began with. Default: weights of the run's seed.",
  ),
  flops: z.looseObject({
    products: flops.describe("Matrix products, forward and backward."),
    attention: flops.describe("Attention, forward and backward."),
    scorers: flops.describe("Scorers of Lighthouse layers."),
    recomputed: flops.describe(
      "Of both, what is computed again: the time has it, the model does not.",
    ),
  }).describe("FLOP of a step. `flops` of the case is their sum, all of which was executed."),
  plannedBytes: z.record(z.string(), bytes).describe(
    "Bytes of the buffers that were planned, by what they are for: `weights`, `optimizer`, `kept` for " +
      "the backward pass, `scratch` that layers share, `data`, `kernels`.",
  ),
  checkedSteps: count.describe(
    "Steps of the determinism check: `digest.weights` is of the weights after them.",
  ),
  steps: z.array(z.looseObject({
    loss: z.number().describe("Mean loss of its tokens, in nats."),
    gradientNorm: z.number().optional().describe("Norm of all gradients before clipping."),
    lossScale: z.number().optional().describe("Loss scale that it ran with."),
    skipped: z.boolean().optional().describe(
      "Whether it was skipped, since a gradient was not finite. Default false.",
    ),
  })).describe("The checked steps, then the last timed ones, at most 64."),
  after: z.looseObject({
    steps: count.describe("Steps since the beginning."),
    weights: z.string().describe("Digest of the weights after them."),
  }).optional().describe(
    "What the last timed step left; how many steps there were depends on time.",
  ),
}).meta({
  id: "TrainingRecord",
  description: "A whole training step: what was trained, and what became of it.",
});

export const trainingRecord: SuiteRecord = {
  name: "training",
  title: "tokens per second of whole training steps of a model",
  plannedBy: ["dtype", "training"],
  exact: ({ training }) => {
    if (!training) return {};
    const { steps, checkedSteps, parameters, data, start } = training;
    return {
      parameters,
      start,
      data: data?.digest,
      losses: steps.slice(0, checkedSteps).map(({ loss }) => loss).join(", "),
    };
  },
};
