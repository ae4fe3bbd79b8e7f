/**
 * A case of a result file: what ran, its samples, its check, and ratios of two cases.
 *
 * @module
 */
import { contextParallelSchema } from "../context_parallel/record.ts";
import { trainingSchema } from "../training/record.ts";
import { overlap, statisticSchema } from "./common_schema.ts";
import type {
  BlockSelectionRecord,
  CaseRecord,
  CheckRecord,
  DigestRecord,
  RatioRecord,
  Sample,
  SelectionQualityRecord,
  ShapeRecord,
  StageRecord,
  TokenSelectionRecord,
} from "./result.ts";
import { z } from "zod";

export const sampleSchema: z.ZodType<Sample> = z.looseObject({
  seconds: z.number().nonnegative().describe(
    "GPU time in seconds: sum over submissions of last pass end minus first pass begin.",
  ),
  wallSeconds: z.number().nonnegative().describe(
    "Wall clock in seconds, from submit to the queue being idle.",
  ),
  round: z.int().nonnegative().describe("Round of the A/B/B/A interleaving."),
  place: z.int().nonnegative().describe(
    "Place in the round: together they give the order of samples.",
  ),
  canary: z.number().nonnegative().optional().describe(
    "The canary's worst time around this sample, over its reference time: 1 is an " +
      "undisturbed clock.",
  ),
  clockMHz: z.number().positive().optional().describe(
    "Clock of the multiprocessors, MHz: median of the readings that fell into the sample, where the " +
      "device tells and one did.",
  ),
  powerWatts: z.number().positive().optional().describe(
    "Power that the device drew, W: median of the readings that speak of this sample alone. A driver " +
      "reports a mean over a second, so only samples longer than that have one.",
  ),
  atPowerLimit: z.literal(true).optional().describe(
    "The device drew as much power as it may during the sample, and may lower its clock then. Such a sample " +
      "counts, whatever the canary says after it, if the clock was full before it: that is the layer's " +
      "sustained speed.",
  ),
  canaryBefore: z.number().nonnegative().optional().describe(
    "The canary's time before the sample alone, over its reference time, where `atPowerLimit` is set: 1 " +
      "means that the sample itself lowered the clock.",
  ),
  executions: z.int().positive().optional().describe(
    "Executions back to back, of which `seconds` are those of one: throughput, and layers that are " +
      "short beside a step of the clock.",
  ),
  flag: z.enum(["clock", "interrupted"]).optional().describe(
    "Why the sample is left out of the statistic, where it is: `clock` means the " +
      "canary was off, and not by the power that the sample itself drew.",
  ),
}).meta({ id: "Sample", description: "One execution of a case, or several back to back." });

export const stageSchema: z.ZodType<StageRecord> = z.looseObject({
  name: z.string().describe("`attention`, `score-and-pool`, `select`, …"),
  flops: z.number().nonnegative().describe("FLOP of one execution."),
  bytes: z.number().nonnegative().describe("Least bytes that the stage must move."),
  variant: z.string().optional().describe(
    "Which of several kernels ran, and its tiling, where that depends on the device.",
  ),
  samples: z.array(z.number().nonnegative()).describe("GPU seconds of each staged execution."),
  statistic: statisticSchema.optional().describe("Over `samples`."),
}).meta({ id: "StageRecord", description: "One named part of a case, in the order of execution." });

export const shapeSchema: z.ZodType<ShapeRecord> = z.looseObject({
  batch: z.literal(1).describe("More sequences are more heads."),
  heads: z.int().positive().describe("H."),
  kvHeads: z.int().positive().optional().describe(
    "Heads of keys and values, which divide H; absent: H.",
  ),
  context: z.int().positive().describe("N."),
  headDim: z.int().positive().describe("d."),
  dtype: z.enum(["f16", "f32"]).describe("Type that tensors are stored in."),
}).meta({
  id: "ShapeRecord",
  description: "Shape of an attention problem. Layout of tensors is [heads, context, headDim], " +
    "of K, V and their gradients [kvHeads, context, headDim].",
});

export const checkSchema: z.ZodType<CheckRecord> = z.looseObject({
  passed: z.boolean().describe("Whether every part passed."),
  method: z.string().describe("What was compared with what, in one sentence."),
  maxError: z.number().nullable().describe(
    "Largest error found, in units of the tolerance's norm.",
  ),
  tolerance: z.number().nullable().describe("The derived tolerance."),
  parts: z.array(z.looseObject({
    name: z.string().describe("What was compared."),
    passed: z.boolean().describe("Whether it is within its tolerance."),
    maxError: z.number().nullable().describe("As of the whole check."),
    tolerance: z.number().nullable().describe("As of the whole check."),
    detail: z.string().optional().describe("What was found, in words."),
  })).optional().describe("One entry for each part compared."),
}).meta({ id: "CheckRecord", description: "What the correctness check of a case found." });

export const digestSchema: z.ZodType<DigestRecord> = z.looseObject({
  output: z.string().optional().describe("Of the output."),
  lse: z.string().optional().describe("Of the log-sum-exp."),
  selection: z.string().optional().describe("Of the selection: SHA-256 of its indices."),
  seededSelection: z.string().optional().describe(
    "In correctness cases: SHA-256 of the selection from seeded scores, the same on " +
      "every device.",
  ),
  queryGradient: z.string().optional().describe("Of dQ."),
  keyGradient: z.string().optional().describe("Of dK."),
  valueGradient: z.string().optional().describe("Of dV."),
  weights: z.string().optional().describe("In training: of all weights after the checked steps."),
}).meta({
  id: "DigestRecord",
  description: "Digests: `selection` is SHA-256 of int32 indices, all others are pcg-sum 128-bit " +
    "digests; gradients only where the direction has them.",
});

export const selectionQualitySchema: z.ZodType<SelectionQualityRecord> = z.looseObject({
  rows: z.int().nonnegative().describe("Base rows of all heads."),
  uncoveredRows: z.int().nonnegative().describe("Rows that no selected entry reaches."),
  fanIn: z.array(z.int().nonnegative()).describe("Rows that 0, 1, … L entries contribute to."),
  levelShares: z.array(z.number()).describe(
    "Share of each level in the gathered sequence, finest first.",
  ),
  overlaps: z.array(overlap.extend({ implementation: z.string().describe("The other.") }))
    .optional().describe(
      "With what other implementations selected from the same inputs.",
    ),
  stability: overlap.extend({
    noise: z.number().describe("Standard deviation of the noise, relative to each element."),
  }).optional().describe(
    "With what the same implementation selects when Q and K carry relative noise.",
  ),
}).meta({
  id: "SelectionQualityRecord",
  description: "What a selection does to its context, and how far it agrees with others.",
});

export const blockSelectionSchema: z.ZodType<BlockSelectionRecord> = z.looseObject({
  lists: z.int().nonnegative().describe("Lists of all heads, one for each query."),
  blocks: z.int().positive().describe("Blocks of a head."),
  earlier: z.int().nonnegative().describe("Blocks before a query's own, in all lists."),
  neighbours: z.int().nonnegative().describe("Of these, blocks directly before the query's own."),
  longest: z.int().nonnegative().describe("Most later queries that selected the same block."),
  unused: z.int().nonnegative().describe(
    "Blocks, but for the last of a head, that no later query selected.",
  ),
  stability: z.looseObject({
    noise: z.number().describe("Standard deviation of the noise, relative to each element."),
    jaccard: z.number().describe("|A ∩ B| / |A ∪ B| over the earlier blocks of all lists."),
  }).optional().describe(
    "With what the same implementation selects when Q and K carry relative noise.",
  ),
}).meta({
  id: "BlockSelectionRecord",
  description: "How lists of blocks, one for each query, use the blocks before the query's own.",
});

export const tokenSelectionSchema: z.ZodType<TokenSelectionRecord> = z.looseObject({
  queries: z.int().nonnegative().describe(
    "Sampled queries that have more tokens before them than they select.",
  ),
  tokens: z.int().nonnegative().describe("Tokens in their lists."),
  near: z.int().nonnegative().describe(
    "Of these, tokens in a window of as many up to the query itself.",
  ),
  expected: z.number().nonnegative().describe(
    "How many that would be, were tokens selected at random.",
  ),
  whole: z.looseObject({
    queries: z.int().nonnegative().describe("Sampled queries whose tokens were all ranked."),
    tokens: z.int().nonnegative().describe("Tokens that scores of all tokens would select."),
    same: z.int().nonnegative().describe("Of these, tokens in the lists."),
  }).optional().describe("Where blocks are ranked first: agreement with an index over all tokens."),
}).meta({
  id: "TokenSelectionRecord",
  description: "Lists of tokens that an index selected, of sampled queries.",
});

/** Options that every Lighthouse layer has, ours and a peer's. */
const LAYER_OPTIONS = ["levels", "pooling", "k"];

export const caseSchema: z.ZodType<CaseRecord> = z.looseObject({
  id: z.string().describe(
    "Stable identity, for example `latency/dense/forward/N8192-H8-d128-f16`.",
  ),
  suite: z.string().regex(/^[a-z][a-z0-9-]{0,63}$/).describe(
    "The suite that the case belongs to: `latency`, `context-parallel`, …",
  ),
  implementation: z.string().describe(
    "`dense`, `dense-naive`, `lighthouse-norm`, …, or `peer:NAME`.",
  ),
  direction: z.enum(["forward", "backward", "forward-backward"]).describe(
    "What was computed and timed.",
  ),
  shape: shapeSchema.describe("Sizes of the layer."),
  family: z.string().describe("What the implementation is one of: `dense`, `lighthouse`, …"),
  scorer: z.string().optional().describe("What ranked the entries of the pyramid, for Lighthouse."),
  options: z.record(z.string(), z.number()).optional().describe(
    "Options of the layer by name: `levels`, `pooling`, `k`, `dilation`, …",
  ),
  rules: z.record(z.string(), z.union([z.number(), z.string()])).optional().describe(
    'Rules that gave values of options, by the option\'s name: `{ k: "N/64" }`.',
  ),
  gathered: z.int().optional().describe("Length of the gathered sub-sequence, for Lighthouse."),
  sweeps: z.array(z.string()).optional().describe(
    "Which sweep of the profile the case belongs to: `context`, `k`, `pooling`, " +
      "`levels`, `scorer`.",
  ),
  status: z.enum(["ok", "skipped", "failed", "inconclusive"]).describe(
    "`inconclusive`: it ran, and too few of its samples were taken at a right clock.",
  ),
  reason: z.string().optional().describe("Why the case has no time: one line."),
  flops: z.number().nonnegative().describe(
    "FLOP of one execution by the convention of the specification (causal half counted).",
  ),
  bytes: z.number().nonnegative().describe("Least bytes of one execution."),
  peakBytes: z.number().nonnegative().describe("Bytes of all buffers held while the case runs."),
  measuredPeakBytes: z.number().nonnegative().optional().describe(
    "Most bytes of buffers that lived at once for the case, counted as the device " +
      "created them.",
  ),
  leastBytes: z.number().nonnegative().optional().describe(
    "Bytes of the inputs and outputs alone.",
  ),
  predictedSeconds: z.number().nonnegative().optional().describe(
    "Predicted seconds for one execution, from calibration; what the budget decided on.",
  ),
  stages: z.array(stageSchema).describe("In the order of execution."),
  samples: z.array(sampleSchema).describe("Every execution that was timed, flagged ones too."),
  statistic: statisticSchema.optional().describe("Over `samples[].seconds`."),
  throughput: statisticSchema.optional().describe(
    "Tokens per second: context / median seconds, with its interval; in training, tokens of a step.",
  ),
  check: checkSchema.optional().describe(
    "What the check found; a case is timed only after it passed.",
  ),
  digest: digestSchema.optional().describe("Of what the last execution left."),
  restarts: z.int().nonnegative().optional().describe(
    "On matrix units: workgroups of one execution that started over with a better reference.",
  ),
  zeroRows: z.int().optional().describe("Rows of the output that nothing covers, for Lighthouse."),
  selectionQuality: selectionQualitySchema.optional().describe(
    "For Lighthouse, once for each selection: not repeated where only the direction differs.",
  ),
  blockSelection: blockSelectionSchema.optional().describe(
    "For layers whose queries select blocks by the inputs.",
  ),
  tokenSelection: tokenSelectionSchema.optional().describe(
    "For layers whose index selects tokens.",
  ),
  machine: z.string().optional().describe(
    "Fingerprint of the machine that measured it, where shards of several were joined.",
  ),
  contextParallel: contextParallelSchema.optional().describe(
    "In the suite `context-parallel`; its stages are the ring steps.",
  ),
  training: trainingSchema.optional().describe(
    "In the suite `training`: `shape` is that of one sequence's attention, stages are classes of work.",
  ),
}).refine(
  ({ family, options }) =>
    family !== "lighthouse" || LAYER_OPTIONS.every((name) => options?.[name] !== undefined),
  { message: `a Lighthouse layer has ${LAYER_OPTIONS.join(", ")}`, path: ["options"] },
).meta({ id: "CaseRecord", description: "One measured (or skipped, or failed) case." });

export const ratioSchema: z.ZodType<RatioRecord> = z.looseObject({
  numerator: z.string().describe("Case id of the slower one, the baseline."),
  denominator: z.string().describe("Case id of the other."),
  method: z.literal("abba").describe("How the samples were interleaved."),
  rounds: z.int().nonnegative().describe("Rounds that both were measured in."),
  ratio: z.number().describe(
    "numerator seconds / denominator seconds: above 1 means the denominator is faster.",
  ),
  low: z.number().describe("Lower end of the 95 % bootstrap interval."),
  high: z.number().describe("Upper end of the 95 % bootstrap interval."),
}).meta({
  id: "RatioRecord",
  description: "Ratio of two cases measured in the same interleaved rounds.",
});
