/**
 * The result file: one JSON document per run, validated with zod on write and on read. What each
 * field means and its unit stand with the types in `result.ts`.
 *
 * Formatting happens in `reports/`. Unknown fields are kept (`looseObject`), so that a newer
 * minor version's file survives a round trip through an older tool.
 *
 * @module
 */
import { z } from "zod";
import type {
  CalibrationRecord,
  CaseRecord,
  CheckRecord,
  ContextParallelRecord,
  DigestRecord,
  EnvironmentRecord,
  ImplementationRecord,
  KeepWarmRecord,
  OverlapRecord,
  PeerRecord,
  RatioRecord,
  Result,
  Sample,
  SelectionQualityRecord,
  ShapeRecord,
  StackChoiceRecord,
  StageRecord,
  Statistic,
  TunedTilingRecord,
  TuningRecord,
} from "./result.ts";
import { retrievalSchema } from "../retrieval/retrieval_schema.ts";
import { declares } from "./typed_schema.ts";

export type * from "./result.ts";

/** The version that this code writes. A file with a larger one is refused with a clear error. */
export const SCHEMA_VERSION = 2;

/** A colour in hexadecimal: it goes into style sheets as it is. */
const colorSchema = z.string().regex(/^#[0-9a-f]{6}$/i);

/** A median with a seeded bootstrap 95 % interval over its samples. */
export const statisticSchema: z.ZodType<Statistic> = declares<Statistic>()(z.looseObject({
  count: z.int().nonnegative(),
  median: z.number(),
  low: z.number(),
  high: z.number(),
  min: z.number(),
  max: z.number(),
  mean: z.number(),
  outliers: z.int().nonnegative(),
}));

/** One execution of a case. */
export const sampleSchema: z.ZodType<Sample> = declares<Sample>()(z.looseObject({
  seconds: z.number().nonnegative(),
  wallSeconds: z.number().nonnegative(),
  round: z.int().nonnegative(),
  place: z.int().nonnegative(),
  canary: z.number().nonnegative().optional(),
  flag: z.enum(["clock", "interrupted"]).optional(),
}));

/** One named part of a case, in the order of execution. */
export const stageSchema: z.ZodType<StageRecord> = declares<StageRecord>()(z.looseObject({
  name: z.string(),
  flops: z.number().nonnegative(),
  bytes: z.number().nonnegative(),
  variant: z.string().optional(),
  samples: z.array(z.number().nonnegative()),
  statistic: statisticSchema.optional(),
}));

/** Shape of an attention problem. Layout of tensors is [heads, context, headDim]. */
export const shapeSchema: z.ZodType<ShapeRecord> = declares<ShapeRecord>()(z.looseObject({
  batch: z.literal(1),
  heads: z.int().positive(),
  context: z.int().positive(),
  headDim: z.int().positive(),
  dtype: z.enum(["f16", "f32"]),
}));

/** What the correctness check of a case found. */
export const checkSchema: z.ZodType<CheckRecord> = declares<CheckRecord>()(z.looseObject({
  passed: z.boolean(),
  method: z.string(),
  maxError: z.number().nullable(),
  tolerance: z.number().nullable(),
  parts: z.array(z.looseObject({
    name: z.string(),
    passed: z.boolean(),
    maxError: z.number().nullable(),
    tolerance: z.number().nullable(),
    detail: z.string().optional(),
  })).optional(),
}));

/**
 * Digests: those of selections are SHA-256 of int32 indices, all others are pcg-sum 128-bit digests; gradients
 * only where the direction has them.
 */
export const digestSchema: z.ZodType<DigestRecord> = declares<DigestRecord>()(z.looseObject({
  output: z.string().optional(),
  lse: z.string().optional(),
  selection: z.string().optional(),
  /** In correctness cases: of the selection from seeded scores, the same on every device. */
  seededSelection: z.string().optional(),
  queryGradient: z.string().optional(),
  keyGradient: z.string().optional(),
  valueGradient: z.string().optional(),
}));

const overlap = z.looseObject({
  jaccard: z.number(),
  levels: z.array(z.number()),
});

/** How far two selections agree: Jaccard indices over all heads. */
export const overlapSchema: z.ZodType<OverlapRecord> = declares<OverlapRecord>()(overlap);

/** What a selection does to its context, and how far it agrees with others. */
export const selectionQualitySchema: z.ZodType<SelectionQualityRecord> = declares<
  SelectionQualityRecord
>()(z.looseObject({
  rows: z.int().nonnegative(),
  uncoveredRows: z.int().nonnegative(),
  fanIn: z.array(z.int().nonnegative()),
  levelShares: z.array(z.number()),
  overlaps: z.array(overlap.extend({ implementation: z.string() })).optional(),
  stability: overlap.extend({
    noise: z.number(),
  }).optional(),
}));

/** A layer whose context is cut into shards, simulated on one device. */
export const contextParallelSchema: z.ZodType<ContextParallelRecord> = declares<
  ContextParallelRecord
>()(z.looseObject({
  shards: z.int().positive(),
  partition: z.enum(["contiguous", "head-tail"]),
  parts: z.int().positive(),
  partK: z.int().positive(),
  selection: overlapSchema,
  uncoveredRows: z.int().nonnegative(),
  unshardedUncoveredRows: z.int().nonnegative(),
  unshardedAttention: statisticSchema.optional(),
  steps: z.array(z.looseObject({
    shardSeconds: z.array(z.number().nonnegative()),
    shardPairs: z.array(z.number().nonnegative()),
    bytes: z.number().nonnegative(),
  })),
}));

/** Options that every Lighthouse layer has, ours and a peer's. */
const LAYER_OPTIONS = ["levels", "pooling", "k"];

/** One measured (or skipped, or failed) case. */
export const caseSchema: z.ZodType<CaseRecord> = declares<CaseRecord>()(
  z.looseObject({
    id: z.string(),
    suite: z.enum(["correctness", "latency", "throughput", "retrieval", "context-parallel"]),
    implementation: z.string(),
    direction: z.enum(["forward", "backward", "forward-backward"]),
    shape: shapeSchema,
    family: z.string(),
    scorer: z.string().optional(),
    options: z.record(z.string(), z.number()).optional(),
    rules: z.record(z.string(), z.union([z.number(), z.string()])).optional(),
    gathered: z.int().optional(),
    sweeps: z.array(z.string()).optional(),
    status: z.enum(["ok", "skipped", "failed", "inconclusive"]),
    reason: z.string().optional(),
    flops: z.number().nonnegative(),
    bytes: z.number().nonnegative(),
    peakBytes: z.number().nonnegative(),
    measuredPeakBytes: z.number().nonnegative().optional(),
    leastBytes: z.number().nonnegative().optional(),
    predictedSeconds: z.number().nonnegative().optional(),
    stages: z.array(stageSchema),
    samples: z.array(sampleSchema),
    statistic: statisticSchema.optional(),
    throughput: statisticSchema.optional(),
    check: checkSchema.optional(),
    digest: digestSchema.optional(),
    restarts: z.int().nonnegative().optional(),
    zeroRows: z.int().optional(),
    selectionQuality: selectionQualitySchema.optional(),
    contextParallel: contextParallelSchema.optional(),
  }).refine(
    ({ family, options }) =>
      family !== "lighthouse" || LAYER_OPTIONS.every((name) => options?.[name] !== undefined),
    { message: `a Lighthouse layer has ${LAYER_OPTIONS.join(", ")}`, path: ["options"] },
  ),
);

/** Ratio of two cases measured in the same interleaved rounds. */
export const ratioSchema: z.ZodType<RatioRecord> = declares<RatioRecord>()(z.looseObject({
  numerator: z.string(),
  denominator: z.string(),
  method: z.literal("abba"),
  rounds: z.int().nonnegative(),
  ratio: z.number(),
  low: z.number(),
  high: z.number(),
}));

/** Ceilings of this device, measured at the start of the run. Absent parts were not measurable. */
export const calibrationSchema: z.ZodType<CalibrationRecord> = declares<CalibrationRecord>()(
  z.looseObject({
    fmaF32: statisticSchema.optional(),
    fmaF16: statisticSchema.optional(),
    matrix: z.array(z.looseObject({ config: z.string(), flopsPerSecond: statisticSchema }))
      .optional(),
    copy: statisticSchema.optional(),
    emptyPass: statisticSchema.optional(),
    timestampGranularity: z.number().optional(),
    canary: statisticSchema.optional(),
    canaryTrips: z.int().positive().optional(),
    clock: z.enum(["gpu", "wall"]),
    notes: z.array(z.string()).optional(),
  }),
);

/** The machine that measured. */
export const environmentSchema: z.ZodType<EnvironmentRecord> = declares<EnvironmentRecord>()(
  z.looseObject({
    adapter: z.looseObject({
      vendor: z.string(),
      architecture: z.string(),
      device: z.string(),
      description: z.string(),
      isFallbackAdapter: z.boolean(),
      software: z.boolean(),
    }),
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
    fingerprint: z.string(),
  }),
);

/** An implementation of somebody else's that the run measured beside ours, or wanted to. */
export const peerSchema: z.ZodType<PeerRecord> = declares<PeerRecord>()(z.looseObject({
  asked: z.string(),
  implementation: z.string(),
  computes: z.string(),
  scorer: z.string().optional(),
  versions: z.record(z.string(), z.string()),
  device: z.string().nullable(),
  timing: z.string(),
  unavailable: z.string().optional(),
}));

/** How the stack of a run was chosen. */
export const stackChoiceSchema: z.ZodType<StackChoiceRecord> = declares<StackChoiceRecord>()(
  z.looseObject({ asked: z.enum(["auto", "deno", "dawn"]), reason: z.string() }),
);

/** What was done to keep the device's clock up, and what was read of it meanwhile. */
export const keepWarmSchema: z.ZodType<KeepWarmRecord> = declares<KeepWarmRecord>()(z.looseObject({
  means: z.array(z.string()),
  clockMHz: z.looseObject({
    count: z.int().positive(),
    lowest: z.number(),
    median: z.number(),
    highest: z.number(),
    limit: z.number().nullable(),
  }).optional(),
  powerWatts: z.looseObject({
    count: z.int().positive(),
    median: z.number(),
    highest: z.number(),
    limit: z.number().nullable(),
    atLimit: z.int().nonnegative(),
  }).optional(),
}));

/** A tiling that was measured to be the fastest for a kernel at a length and H. */
export const tunedTilingSchema: z.ZodType<TunedTilingRecord> = declares<TunedTilingRecord>()(
  z.looseObject({
    kernel: z.enum(["portable", "matrix"]),
    pass: z.enum(["forward", "query", "key-value"]),
    headDim: z.int().positive(),
    dtype: z.enum(["f16", "f32"]),
    rows: z.int().positive(),
    heads: z.int().positive().optional(),
    tiling: z.record(z.string(), z.number()),
  }),
);

/** Tilings that the plans of a run preferred. */
export const tuningSchema: z.ZodType<TuningRecord> = declares<TuningRecord>()(z.looseObject({
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  measuredAt: z.iso.datetime(),
  tilings: z.array(tunedTilingSchema),
}));

/** What a reader has to know of an implementation. */
export const implementationSchema: z.ZodType<ImplementationRecord> = declares<
  ImplementationRecord
>()(z.looseObject({
  name: z.string(),
  title: z.string(),
  family: z.string(),
  scorer: z.string().optional(),
  role: z.string().optional(),
  peer: z.boolean().optional(),
  options: z.array(z.looseObject({
    name: z.string(),
    letter: z.string(),
    help: z.string(),
    sweep: z.string().optional(),
  })),
  style: z.looseObject({
    color: z.looseObject({ light: colorSchema, dark: colorSchema }),
    mark: z.string(),
  }).optional(),
}));

/** A whole result file. */
export const resultSchema: z.ZodType<Result> = declares<Result>()(z.looseObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  tool: z.looseObject({
    name: z.literal("lighthouse-attention-bench"),
    version: z.string(),
    commit: z.string().nullable(),
    dirty: z.boolean().nullable(),
  }),
  startedAt: z.iso.datetime(),
  finishedAt: z.iso.datetime().nullable(),
  command: z.array(z.string()),
  profile: z.string(),
  stack: z.enum(["deno", "dawn"]),
  stackChoice: stackChoiceSchema.optional(),
  seed: z.int().nonnegative(),
  configuration: z.record(z.string(), z.unknown()),
  hashes: z.looseObject({ wgsl: z.string(), configuration: z.string(), plan: z.string() }),
  environment: environmentSchema,
  calibration: calibrationSchema.nullable(),
  implementations: z.array(implementationSchema),
  cases: z.array(caseSchema),
  ratios: z.array(ratioSchema),
  retrieval: retrievalSchema.optional(),
  peers: z.array(peerSchema).optional(),
  keepWarm: keepWarmSchema.optional(),
  tuning: tuningSchema.optional(),
  notes: z.array(z.string()),
}));
