/**
 * The machine of a result file: the device, its calibration, and what was chosen for it.
 *
 * @module
 */
import { statisticSchema } from "./common_schema.ts";
import type {
  CalibrationRecord,
  DeviceRecord,
  EnvironmentRecord,
  KeepWarmRecord,
  MachineRecord,
  PeerRecord,
  StackChoiceRecord,
  TunedTilingRecord,
  TuningRecord,
} from "./result.ts";
import { z } from "zod";

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
    deno: z.string().optional().describe("Deno."),
    v8: z.string().optional().describe("Its JavaScript engine."),
    typescript: z.string().optional().describe("Its compiler."),
    browser: z.string().optional().describe("Name and version of the browser, where one ran it."),
  }).describe("What ran the program, by name and version."),
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
  asked: z.enum(["auto", "deno", "dawn", "browser"]).describe("`auto`: the fastest that works."),
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
