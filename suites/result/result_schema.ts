/**
 * The result file: one JSON document per run, validated with zod on write and on read. What each
 * field means and its unit stand here, once: `deno task generate` writes the types in `result.ts`
 * from it, and the site its pages of the format.
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
  DeviceRecord,
  DigestRecord,
  EnvironmentRecord,
  ImplementationRecord,
  KeepWarmRecord,
  MachineRecord,
  PeerRecord,
  RatioRecord,
  Result,
  Sample,
  SelectionQualityRecord,
  ShapeRecord,
  ShardRecord,
  StackChoiceRecord,
  StageRecord,
  TunedTilingRecord,
  TuningRecord,
} from "./result.ts";
import { contextParallelSchema } from "../context_parallel/record.ts";
import { retrievalSchema } from "../retrieval/record.ts";
import { overlap, statisticSchema } from "./common_schema.ts";

export { retrievalSchema };
export type * from "./result.ts";

/** The version that this code writes. A file with a larger one is refused with a clear error. */
export const SCHEMA_VERSION = 2;

/** A colour in hexadecimal: it goes into style sheets as it is. */
const colorSchema = z.string().regex(/^#[0-9a-f]{6}$/i);

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
  executions: z.int().positive().optional().describe(
    "In the suite `throughput`: executions back to back, of which `seconds` are those of one.",
  ),
  flag: z.enum(["clock", "interrupted"]).optional().describe(
    "Why the sample is left out of the statistic, where it is: `clock` means the " +
      "canary was off.",
  ),
}).meta({ id: "Sample", description: "One execution of a case." });

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
  context: z.int().positive().describe("N."),
  headDim: z.int().positive().describe("d."),
  dtype: z.enum(["f16", "f32"]).describe("Type that tensors are stored in."),
}).meta({
  id: "ShapeRecord",
  description: "Shape of an attention problem. Layout of tensors is [heads, context, headDim].",
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
    "Tokens per second of the layer: context / median seconds, with its interval.",
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
  machine: z.string().optional().describe(
    "Fingerprint of the machine that measured it, where shards of several were joined.",
  ),
  contextParallel: contextParallelSchema.optional().describe(
    "In the suite `context-parallel`; its stages are the ring steps.",
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

export const calibrationSchema: z.ZodType<CalibrationRecord> = z.looseObject({
  fmaF32: statisticSchema.optional().describe(
    "FLOP per second of register-only fused multiply-adds.",
  ),
  fmaF16: statisticSchema.optional().describe("The same in f16."),
  matrix: z.array(
    z.looseObject({
      config: z.string().describe("Types and sizes, as the device lists them."),
      flopsPerSecond: statisticSchema.describe("Of a chain of dependent products."),
    }),
  )
    .optional().describe("FLOP per second of a register-only subgroup-matrix chain (Dawn only)."),
  copy: statisticSchema.optional().describe(
    "Bytes per second of a large buffer copy, bytes read plus bytes written.",
  ),
  emptyPass: statisticSchema.optional().describe("Seconds of a compute pass that does nothing."),
  timestampGranularity: z.number().optional().describe(
    "Smallest non-zero step seen between timestamps, in seconds.",
  ),
  canary: statisticSchema.optional().describe(
    "Seconds of the canary kernel on the undisturbed device.",
  ),
  canaryTrips: z.int().positive().optional().describe(
    "Trips of the canary's loop: its length, which each calibration chooses.",
  ),
  clock: z.enum(["gpu", "wall"]).describe(
    "`gpu` when timestamps work, `wall` when times are wall clock.",
  ),
  notes: z.array(z.string()).optional().describe("What could not be measured, one line each."),
}).meta({
  id: "CalibrationRecord",
  description: "Ceilings of this device, measured at the start of the run. Absent parts were not " +
    "measurable.",
});

export const deviceSchema: z.ZodType<DeviceRecord> = z.looseObject({
  name: z.string().describe(
    "As the machine's own tool calls it, else as the adapter does: `NVIDIA H100 80GB HBM3`.",
  ),
  uuid: z.string().optional().describe("Of the card, where the machine's tool tells which it is."),
  busId: z.string().optional().describe("PCI domain, bus and device of the same card."),
}).meta({
  id: "DeviceRecord",
  description: "What computes, apart from the stack that it was reached by.",
});

export const machineSchema: z.ZodType<MachineRecord> = z.looseObject({
  shard: z.int().positive().describe("Index of the shard that it ran."),
  fingerprint: z.string().describe("As `machine` of its cases names it."),
  adapter: z.string().describe("As WebGPU describes it."),
  cpu: z.string().describe("Model of the processor."),
}).meta({ id: "MachineRecord", description: "One of the machines that shared a run." });

export const environmentSchema: z.ZodType<EnvironmentRecord> = z.looseObject({
  adapter: z.looseObject({
    vendor: z.string().describe("`nvidia`, or the number that the stack has for it."),
    architecture: z.string().describe("Family of the device; may be empty."),
    device: z.string().describe("Name or number of the device; may be empty."),
    description: z.string().describe("Name of the device or of its driver."),
    isFallbackAdapter: z.boolean().describe("Whether the stack calls it a fallback."),
    software: z.boolean().describe(
      "True for CPU implementations of Vulkan (llvmpipe, SwiftShader, WARP).",
    ),
  }).describe("As WebGPU describes it."),
  device: deviceSchema.describe("What the adapter computes on."),
  driver: z.string().nullable().describe("Driver name and version, where it can be found out."),
  deviceMemoryBytes: z.number().nullable().describe(
    "Memory of the device, where it can be found out.",
  ),
  features: z.array(z.string()).describe("Features that were granted, sorted."),
  limits: z.record(z.string(), z.number()).describe("Limits of the device by name."),
  os: z.string().describe("Name and release of the system."),
  cpu: z.string().describe("Model of the processor."),
  cores: z.int().positive().describe("Logical processors."),
  memoryBytes: z.number().describe("Memory of the machine."),
  runtime: z.looseObject({
    deno: z.string().describe("The runtime."),
    v8: z.string().describe("Its JavaScript engine."),
    typescript: z.string().describe("Its compiler."),
  }).describe(
    "Versions of Deno and what it is made of.",
  ),
  packages: z.record(z.string(), z.string()).describe("Versions of the npm packages, by name."),
  fingerprint: z.string().describe("Same fingerprint: absolute times may be compared."),
  machines: z.array(machineSchema).optional().describe(
    "Where shards of several machines were joined; everything else here is of the first one's.",
  ),
}).meta({ id: "EnvironmentRecord", description: "The machine that measured." });

export const peerSchema: z.ZodType<PeerRecord> = z.looseObject({
  asked: z.string().describe("As asked for: `torch-fa2`, `python:FILE`, `ort-web`."),
  implementation: z.string().describe("The implementation of its cases: `peer:torch-fa2`."),
  computes: z.string().describe("What it computes."),
  scorer: z.string().optional().describe("The scorer, for Lighthouse."),
  versions: z.record(z.string(), z.string()).describe(
    'Of everything that it says it rests on: `{ torch: "2.11.0", CUDA: "13.0" }`.',
  ),
  device: z.string().nullable().describe("The device that it computes on, as it calls it."),
  timing: z.string().describe("What its times are: `CUDA events`, `GPU timestamps`, `host clock`."),
  unavailable: z.string().optional().describe("Why it could not run."),
}).meta({
  id: "PeerRecord",
  description: "An implementation of somebody else's that the run measured beside ours, or " +
    "wanted to.",
});

export const stackChoiceSchema: z.ZodType<StackChoiceRecord> = z.looseObject({
  asked: z.enum(["auto", "deno", "dawn"]).describe("`auto`: the fastest that works."),
  reason: z.string().describe("What decided, one line: `matrix units on NVIDIA H200`."),
}).meta({ id: "StackChoiceRecord", description: "How the stack of a run was chosen." });

export const keepWarmSchema: z.ZodType<KeepWarmRecord> = z.looseObject({
  means: z.array(z.string()).describe(
    "One line each; one that says that nothing was done, where nothing could be.",
  ),
  clockMHz: z.looseObject({
    count: z.int().positive().describe("Readings."),
    lowest: z.number().describe("MHz."),
    median: z.number().describe("MHz."),
    highest: z.number().describe("MHz."),
    limit: z.number().nullable().describe("The highest that the device says it can do."),
  }).optional().describe("Readings of the clock of the multiprocessors, MHz."),
  powerWatts: z.looseObject({
    count: z.int().positive().describe("Readings."),
    median: z.number().describe("W."),
    highest: z.number().describe("W."),
    limit: z.number().nullable().describe("What it may draw: it lowers its clock to stay below."),
    atLimit: z.int().nonnegative().describe(
      "How many of the readings were at the limit, or within 5 % of it.",
    ),
  }).optional().describe("Readings of the power that the device draws, W."),
}).meta({
  id: "KeepWarmRecord",
  description: "What was done to keep the device's clock up, and what was read of it meanwhile.",
});

export const tunedTilingSchema: z.ZodType<TunedTilingRecord> = z.looseObject({
  kernel: z.enum(["portable", "matrix"]).describe("Which of the two texts of the kernel."),
  pass: z.enum(["forward", "query", "key-value"]).describe(
    "The forward pass, the pass that gives dQ, or the one that gives dK and dV.",
  ),
  headDim: z.int().positive().describe("d."),
  dtype: z.enum(["f16", "f32"]).describe("Storage of Q, K and V."),
  rows: z.int().positive().describe("N that it was measured at, a power of two."),
  heads: z.int().positive().optional().describe(
    "H that it was measured with; older results do not tell.",
  ),
  tiling: z.record(z.string(), z.number()).describe("Fields of the tiling by name."),
}).meta({
  id: "TunedTilingRecord",
  description: "A tiling of dense attention that was measured to be the fastest for a kernel at " +
    "a length and H.",
});

export const tuningSchema: z.ZodType<TuningRecord> = z.looseObject({
  digest: z.string().regex(/^[0-9a-f]{64}$/).describe(
    "SHA-256 that the tuning file has of itself.",
  ),
  measuredAt: z.iso.datetime().describe("When they were measured, ISO 8601, UTC."),
  tilings: z.array(tunedTilingSchema).describe(
    "Those that the run's device could take; the `variant` of each stage says which one ran.",
  ),
}).meta({
  id: "TuningRecord",
  description: "Tilings that the plans of a run preferred to those that the kernels choose by " +
    "themselves.",
});

export const implementationSchema: z.ZodType<ImplementationRecord> = z.looseObject({
  name: z.string().describe("As the cases name it."),
  title: z.string().describe("For people: one short phrase."),
  family: z.string().describe("`dense`, `lighthouse`, …"),
  scorer: z.string().optional().describe("What ranks the entries of the pyramid, for Lighthouse."),
  role: z.string().optional().describe(
    "`second-opinion` or `control`, where it is no candidate like the others.",
  ),
  peer: z.boolean().optional().describe("Somebody else's, measured beside ours."),
  options: z.array(z.looseObject({
    name: z.string().describe("As `options` of a case names it."),
    letter: z.string().describe("Written before the value: `k`."),
    help: z.string().describe("What it is, a short phrase."),
    sweep: z.string().optional().describe("Heading of a section that varies this option alone."),
  })).describe("Its options, in the order of case ids."),
  style: z.looseObject({
    color: z.looseObject({
      light: colorSchema.describe("On a light page."),
      dark: colorSchema.describe("On a dark page."),
    }).describe("In hexadecimal: `#2a78d6`."),
    mark: z.string().describe("Shape of its marks: `circle`, `square`, …"),
  }).optional().describe("Colours and mark in figures."),
}).meta({
  id: "ImplementationRecord",
  description: "What a reader has to know of an implementation: the descriptor, as far as " +
    "reports need it.",
});

export const shardSchema: z.ZodType<ShardRecord> = z.looseObject({
  index: z.int().positive().describe("Which one; the first is 1."),
  count: z.int().positive().describe("Of how many."),
  plan: z.string().describe("Hash of the whole plan."),
  cases: z.array(z.string()).describe("Ids of all cases of the whole plan, in order."),
}).meta({ id: "ShardRecord", description: "What the result of a shard says of the whole plan." });

export const resultSchema: z.ZodType<Result> = z.looseObject({
  schemaVersion: z.literal(SCHEMA_VERSION).describe("Version of this format."),
  tool: z.looseObject({
    name: z.literal("lighthouse-attention-bench").describe("This project."),
    version: z.string().describe("Of the package."),
    commit: z.string().nullable().describe(
      "Git commit of the working tree, or null outside a repository.",
    ),
    dirty: z.boolean().nullable().describe(
      "Whether the tree had uncommitted changes; null outside a repository.",
    ),
  }).describe("What wrote the file."),
  startedAt: z.iso.datetime().describe("ISO 8601, UTC."),
  finishedAt: z.iso.datetime().nullable().describe(
    "ISO 8601, UTC; null while the run goes on or was cut short.",
  ),
  command: z.array(z.string()).describe("The command line to run again, first word `deno`."),
  profile: z.string().describe("`smoke`, `standard` or `paper`."),
  stack: z.enum(["deno", "dawn"]).describe("The WebGPU implementation that ran the kernels."),
  stackChoice: stackChoiceSchema.optional().describe("Why that one; older results do not tell."),
  seed: z.int().nonnegative().describe("Of Q; K, V and dO have the three after it."),
  configuration: z.record(z.string(), z.unknown()).describe(
    "Everything that decides which cases run, as given and defaulted.",
  ),
  hashes: z.looseObject({
    wgsl: z.string().describe("Of all shaders and the code that generates them."),
    configuration: z.string().describe("Of `configuration`."),
    plan: z.string().describe("Of the cases that were planned, in order."),
  }).describe(
    "SHA-256 of what decides times and results: equal hashes, equal work.",
  ),
  shard: shardSchema.optional().describe("Where this is a part of a run."),
  environment: environmentSchema.describe("The machine."),
  calibration: calibrationSchema.nullable().describe("Null before it was calibrated."),
  implementations: z.array(implementationSchema).describe(
    "Those that the run plans, ours in the order of the registry, then peers.",
  ),
  cases: z.array(caseSchema).describe("In the order of the plan."),
  ratios: z.array(ratioSchema).describe("Pairs that were interleaved."),
  retrieval: retrievalSchema.optional().describe("Of the suite `retrieval`."),
  peers: z.array(peerSchema).optional().describe(
    "Other people's implementations that were asked for.",
  ),
  keepWarm: keepWarmSchema.optional().describe("Where the run kept the clock up, or was asked to."),
  tuning: tuningSchema.optional().describe(
    "Where the run took measured tilings; `replay` takes these again.",
  ),
  notes: z.array(z.string()).describe(
    "One line each: things that the reader should know of the run as a whole.",
  ),
}).meta({ id: "Result", description: "A whole result file." });
