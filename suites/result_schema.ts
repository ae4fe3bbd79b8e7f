/**
 * The result file: one JSON document per run, validated with zod on write and on read.
 *
 * Units are SI and live in the field's name or doc: seconds, bytes, FLOP, bytes per second.
 * Formatting happens in `reports/`. Unknown fields are kept (`looseObject`), so that a newer
 * minor version's file survives a round trip through an older tool.
 *
 * @module
 */
import { z } from "zod";
import { retrievalSchema } from "./retrieval/retrieval_schema.ts";

/** The version that this code writes. A file with a larger one is refused with a clear error. */
export const SCHEMA_VERSION = 1;

/** A median with a seeded bootstrap 95 % interval over its samples. */
export const statisticSchema = z.looseObject({
  /** Samples that entered the statistic (flagged ones are kept in `samples`, not counted here). */
  count: z.int().nonnegative(),
  median: z.number(),
  /** Lower end of the 95 % bootstrap interval of the median. */
  low: z.number(),
  /** Upper end of the 95 % bootstrap interval of the median. */
  high: z.number(),
  min: z.number(),
  max: z.number(),
  mean: z.number(),
  /** Samples outside Tukey's outer fences; they are counted in, and shown. */
  outliers: z.int().nonnegative(),
});

/** One execution of a case. */
export const sampleSchema = z.looseObject({
  /** GPU time in seconds: sum over submissions of last pass end minus first pass begin. */
  seconds: z.number().nonnegative(),
  /** Wall clock in seconds, from submit to the queue being idle. */
  wallSeconds: z.number().nonnegative(),
  /** Round of the A/B/B/A interleaving, and place in it: together they give the order of samples. */
  round: z.int().nonnegative(),
  place: z.int().nonnegative(),
  /** The canary's worst time around this sample, over its reference time: 1 is an undisturbed clock. */
  canary: z.number().nonnegative().optional(),
  /** Why the sample is left out of the statistic, where it is: `clock` means the canary was off. */
  flag: z.enum(["clock", "interrupted"]).optional(),
});

/** One named part of a case, in the order of execution. */
export const stageSchema = z.looseObject({
  name: z.string(),
  flops: z.number().nonnegative(),
  /** Least bytes that the stage must move. */
  bytes: z.number().nonnegative(),
  /** Which of several kernels ran, and its tiling, where that depends on the device. */
  variant: z.string().optional(),
  /** GPU seconds of each staged execution. */
  samples: z.array(z.number().nonnegative()),
  statistic: statisticSchema.optional(),
});

/** Shape of an attention problem. Layout of tensors is [heads, context, headDim]. */
export const shapeSchema = z.looseObject({
  batch: z.literal(1),
  heads: z.int().positive(),
  context: z.int().positive(),
  headDim: z.int().positive(),
  dtype: z.enum(["f16", "f32"]),
});

/** Options of a Lighthouse implementation; absent for dense attention. */
export const lighthouseOptionsSchema = z.looseObject({
  levels: z.int(),
  pooling: z.int(),
  k: z.int(),
  scorer: z.enum(["norm", "dilated", "gla"]),
  dilation: z.int().optional(),
});

/** What the correctness check of a case found. */
export const checkSchema = z.looseObject({
  passed: z.boolean(),
  /** What was compared with what, in one sentence. */
  method: z.string(),
  /** Largest error found, in units of the tolerance's norm, and the derived tolerance. */
  maxError: z.number().nullable(),
  tolerance: z.number().nullable(),
  /** One entry for each part compared. */
  parts: z.array(z.looseObject({
    name: z.string(),
    passed: z.boolean(),
    maxError: z.number().nullable(),
    tolerance: z.number().nullable(),
    detail: z.string().optional(),
  })).optional(),
});

/**
 * Digests: `selection` is SHA-256 of int32 indices, all others are pcg-sum 128-bit digests; gradients
 * only where the direction has them.
 */
export const digestSchema = z.looseObject({
  output: z.string().optional(),
  lse: z.string().optional(),
  selection: z.string().optional(),
  queryGradient: z.string().optional(),
  keyGradient: z.string().optional(),
  valueGradient: z.string().optional(),
});

/** How far two selections agree: Jaccard indices over all heads. */
export const overlapSchema = z.looseObject({
  /** Over all levels but the coarsest, which is always gathered whole. */
  jaccard: z.number(),
  /** Of each level, finest first. */
  levels: z.array(z.number()),
});

/** What a selection does to its context, and how far it agrees with others. */
export const selectionQualitySchema = z.looseObject({
  /** Base rows of all heads. */
  rows: z.int().nonnegative(),
  /** Rows that no selected entry reaches. */
  uncoveredRows: z.int().nonnegative(),
  /** Rows that 0, 1, … L entries contribute to. */
  fanIn: z.array(z.int().nonnegative()),
  /** Share of each level in the gathered sequence, finest first. */
  levelShares: z.array(z.number()),
  /** With what other implementations selected from the same inputs. */
  overlaps: z.array(overlapSchema.extend({ implementation: z.string() })).optional(),
  /** With what the same implementation selects when Q and K carry relative noise. */
  stability: overlapSchema.extend({
    /** Standard deviation of the noise, relative to each element. */
    noise: z.number(),
  }).optional(),
});

/** A layer whose context is cut into shards, simulated on one device. */
export const contextParallelSchema = z.looseObject({
  shards: z.int().positive(),
  /** `contiguous`: shard w holds part w of W. `head-tail`: parts w and 2W - 1 - w of 2W. */
  partition: z.enum(["contiguous", "head-tail"]),
  /** Parts that select on their own, in all, and the budget of each. */
  parts: z.int().positive(),
  partK: z.int().positive(),
  /** With the selection of the same inputs without shards. */
  selection: overlapSchema,
  /** Rows that nothing reaches, of all heads, with and without shards. */
  uncoveredRows: z.int().nonnegative(),
  unshardedUncoveredRows: z.int().nonnegative(),
  /** Seconds of the inner attention over the same gathered rows in one piece. */
  unshardedAttention: statisticSchema.optional(),
  /** The ring steps in order. */
  steps: z.array(z.looseObject({
    /** Median GPU seconds of each shard's share of the step; 0 where it has nothing to do. */
    shardSeconds: z.array(z.number().nonnegative()),
    /** Query-key pairs that each shard computes, causal mask counted, times heads. */
    shardPairs: z.array(z.number().nonnegative()),
    /** Bytes of K and V that each shard passes on after the step; 0 after the last. */
    bytes: z.number().nonnegative(),
  })),
});

/** One measured (or skipped, or failed) case. */
export const caseSchema = z.looseObject({
  /** Stable identity, for example `latency/dense/forward/N8192-H8-d128-f16`. */
  id: z.string(),
  suite: z.enum(["correctness", "latency", "throughput", "retrieval", "context-parallel"]),
  /** `dense`, `dense-naive`, `lighthouse-norm`, …, or `peer:NAME`. */
  implementation: z.string(),
  direction: z.enum(["forward", "backward", "forward-backward"]),
  shape: shapeSchema,
  lighthouse: lighthouseOptionsSchema.optional(),
  /** Length of the gathered sub-sequence, for Lighthouse. */
  gathered: z.int().optional(),
  /** Which sweep of the profile the case belongs to: `context`, `k`, `pooling`, `levels`, `scorer`. */
  sweeps: z.array(z.string()).optional(),
  /** `inconclusive`: it ran, and too few of its samples were taken at a right clock. */
  status: z.enum(["ok", "skipped", "failed", "inconclusive"]),
  /** Why the case has no time: one line. */
  reason: z.string().optional(),
  /** FLOP of one execution by the convention of the specification (causal half counted). */
  flops: z.number().nonnegative(),
  /** Least bytes of one execution. */
  bytes: z.number().nonnegative(),
  /** Bytes of all buffers held while the case runs. */
  peakBytes: z.number().nonnegative(),
  /** Most bytes of buffers that lived at once for the case, counted as the device created them. */
  measuredPeakBytes: z.number().nonnegative().optional(),
  /** Bytes of the inputs and outputs alone. */
  leastBytes: z.number().nonnegative().optional(),
  /** Predicted seconds for one execution, from calibration; what the budget decided on. */
  predictedSeconds: z.number().nonnegative().optional(),
  stages: z.array(stageSchema),
  samples: z.array(sampleSchema),
  /** Over `samples[].seconds`. */
  statistic: statisticSchema.optional(),
  /** Tokens per second of the layer: context / median seconds, with its interval. */
  throughput: statisticSchema.optional(),
  check: checkSchema.optional(),
  digest: digestSchema.optional(),
  /** On matrix units: workgroups of one execution that started over with a better reference. */
  restarts: z.int().nonnegative().optional(),
  /** Rows of the output that nothing covers, for Lighthouse. */
  zeroRows: z.int().optional(),
  /** For Lighthouse, once for each selection: not repeated where only the direction differs. */
  selectionQuality: selectionQualitySchema.optional(),
  /** In the suite `context-parallel`; its stages are the ring steps. */
  contextParallel: contextParallelSchema.optional(),
});

/** Ratio of two cases measured in the same interleaved rounds. */
export const ratioSchema = z.looseObject({
  /** Case id in the numerator (the slower, baseline one) and in the denominator. */
  numerator: z.string(),
  denominator: z.string(),
  /** How the samples were interleaved. */
  method: z.literal("abba"),
  rounds: z.int().nonnegative(),
  /** numerator seconds / denominator seconds: above 1 means the denominator is faster. */
  ratio: z.number(),
  low: z.number(),
  high: z.number(),
});

/** Ceilings of this device, measured at the start of the run. Absent parts were not measurable. */
export const calibrationSchema = z.looseObject({
  /** FLOP per second of register-only fused multiply-adds. */
  fmaF32: statisticSchema.optional(),
  fmaF16: statisticSchema.optional(),
  /** FLOP per second of a register-only subgroup-matrix chain (Dawn only). */
  matrix: z.array(z.looseObject({ config: z.string(), flopsPerSecond: statisticSchema }))
    .optional(),
  /** Bytes per second of a large buffer copy, bytes read plus bytes written. */
  copy: statisticSchema.optional(),
  /** Seconds of a compute pass that does nothing. */
  emptyPass: statisticSchema.optional(),
  /** Smallest non-zero step seen between timestamps, in seconds. */
  timestampGranularity: z.number().optional(),
  /** Seconds of the canary kernel on the undisturbed device. */
  canary: statisticSchema.optional(),
  /** `gpu` when timestamps work, `wall` when times are wall clock. */
  clock: z.enum(["gpu", "wall"]),
  notes: z.array(z.string()).optional(),
});

/** The machine that measured. */
export const environmentSchema = z.looseObject({
  adapter: z.looseObject({
    vendor: z.string(),
    architecture: z.string(),
    device: z.string(),
    description: z.string(),
    isFallbackAdapter: z.boolean(),
    /** True for CPU implementations of Vulkan (llvmpipe, SwiftShader, WARP). */
    software: z.boolean(),
  }),
  /** Driver name and version, where it can be found out. */
  driver: z.string().nullable(),
  deviceMemoryBytes: z.number().nullable(),
  features: z.array(z.string()),
  limits: z.record(z.string(), z.number()),
  os: z.string(),
  cpu: z.string(),
  cores: z.int().positive(),
  memoryBytes: z.number(),
  runtime: z.looseObject({ deno: z.string(), v8: z.string(), typescript: z.string() }),
  packages: z.record(z.string(), z.string()),
  /** Same fingerprint: absolute times may be compared. */
  fingerprint: z.string(),
});

/** An implementation of somebody else's that the run measured beside ours, or wanted to. */
export const peerSchema = z.looseObject({
  /** As asked for: `torch-fa2`, `python:FILE`, `ort-web`. */
  asked: z.string(),
  /** The implementation of its cases: `peer:torch-fa2`. */
  implementation: z.string(),
  computes: z.enum(["dense", "lighthouse"]),
  scorer: z.enum(["norm", "dilated", "gla"]).optional(),
  /** Of everything that it says it rests on: `{ torch: "2.11.0", CUDA: "13.0" }`. */
  versions: z.record(z.string(), z.string()),
  /** The device that it computes on, as it calls it. */
  device: z.string().nullable(),
  /** What its times are: `CUDA events`, `GPU timestamps`, `host clock`. */
  timing: z.string(),
  /** Why it could not run. */
  unavailable: z.string().optional(),
});

/** What was done to keep the device's clock up, and what was read of it meanwhile. */
export const keepWarmSchema = z.looseObject({
  /** One line each; one that says that nothing was done, where nothing could be. */
  means: z.array(z.string()),
  /** Readings of the clock of the multiprocessors, MHz. */
  clockMHz: z.looseObject({
    count: z.int().positive(),
    lowest: z.number(),
    median: z.number(),
    highest: z.number(),
    /** The highest that the device says it can do. */
    limit: z.number().nullable(),
  }).optional(),
});

/** A whole result file. */
export const resultSchema = z.looseObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  tool: z.looseObject({
    name: z.literal("lighthouse-attention-bench"),
    version: z.string(),
    /** Git commit of the working tree, or null outside a repository. */
    commit: z.string().nullable(),
    /** Whether the tree had uncommitted changes; null outside a repository. */
    dirty: z.boolean().nullable(),
  }),
  /** ISO 8601, UTC. */
  startedAt: z.string(),
  /** Null while the run goes on or was cut short. */
  finishedAt: z.string().nullable(),
  /** The command line to run again, first word `deno`. */
  command: z.array(z.string()),
  profile: z.string(),
  stack: z.enum(["deno", "dawn"]),
  seed: z.int().nonnegative(),
  /** Everything that decides which cases run, as given and defaulted. */
  configuration: z.record(z.string(), z.unknown()),
  hashes: z.looseObject({ wgsl: z.string(), configuration: z.string(), plan: z.string() }),
  environment: environmentSchema,
  calibration: calibrationSchema.nullable(),
  cases: z.array(caseSchema),
  ratios: z.array(ratioSchema),
  retrieval: retrievalSchema.optional(),
  peers: z.array(peerSchema).optional(),
  keepWarm: keepWarmSchema.optional(),
  /** One line each: things that the reader should know of the run as a whole. */
  notes: z.array(z.string()),
});

export type Statistic = z.infer<typeof statisticSchema>;
export type Sample = z.infer<typeof sampleSchema>;
export type StageRecord = z.infer<typeof stageSchema>;
export type ShapeRecord = z.infer<typeof shapeSchema>;
export type LighthouseRecord = z.infer<typeof lighthouseOptionsSchema>;
export type CheckRecord = z.infer<typeof checkSchema>;
export type OverlapRecord = z.infer<typeof overlapSchema>;
export type SelectionQualityRecord = z.infer<typeof selectionQualitySchema>;
export type ContextParallelRecord = z.infer<typeof contextParallelSchema>;
export type CaseRecord = z.infer<typeof caseSchema>;
export type RatioRecord = z.infer<typeof ratioSchema>;
export type CalibrationRecord = z.infer<typeof calibrationSchema>;
export type EnvironmentRecord = z.infer<typeof environmentSchema>;
export type PeerRecord = z.infer<typeof peerSchema>;
export type KeepWarmRecord = z.infer<typeof keepWarmSchema>;
export type Result = z.infer<typeof resultSchema>;
