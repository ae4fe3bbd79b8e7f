/**
 * The ceilings of a device, measured at the start of a run: arithmetic, copy, matrix units, and
 * what a pass, a timestamp and an undisturbed clock look like. METHOD.md explains each figure.
 *
 * @module
 */
import copyCode from "./calibrate/copy.wgsl" with { type: "text" };
import fmaCode from "./calibrate/fma.wgsl" with { type: "text" };
import matrixCode from "./calibrate/matrix.wgsl" with { type: "text" };
import nothingCode from "./calibrate/nothing.wgsl" with { type: "text" };
import {
  bindDispatch,
  createStorageBuffer,
  type Dispatch,
  slice,
  writeBuffer,
} from "../../kernels/gpu/buffers.ts";
import type { Gpu, SubgroupMatrixConfig } from "../../kernels/gpu/device.ts";
import { createPipeline } from "../../kernels/gpu/pipeline.ts";
import type { Timer, Timing } from "../../kernels/gpu/timing.ts";
import { createParams } from "../../kernels/gpu/uniform.ts";
import { errorLine } from "../errors.ts";
import type { CalibrationRecord, Statistic } from "../result/result_schema.ts";
import { invertStatistic, summarize } from "../statistics/statistics.ts";

const FMA_PARAMS = { trips: "u32", factor: "f32", term: "f32", pad: "u32" } as const;
const COPY_PARAMS = { words: "u32", rowStride: "u32", pad0: "u32", pad1: "u32" } as const;
const MATRIX_PARAMS = { trips: "u32", subgroups: "u32", pad0: "u32", pad1: "u32" } as const;

/** vec4 fused multiply-adds of one trip of the FMA loop: 8 chains, 8 times each. */
const FMAS_PER_TRIP = 64;
/** FLOP of one vec4 fused multiply-add, two for each lane. */
const FLOPS_PER_FMA = 8;
/** Multiply-accumulates of one trip of the matrix loop. */
const MATRIX_PER_TRIP = 16;
const MATRIX_GROUP = 128;

/** Length of an exercise, in timed runs: far longer than a stack takes to notice the end of one. */
const EXERCISE = 10;

/** A canary that reaches less of the arithmetic ceiling is measured again, this often at most. */
const CANARY_SHARE = 0.4;
const CANARY_ATTEMPTS = 5;

/** What the calibration is for and how long it may take. */
export interface CalibrateOptions {
  /** Bytes of device memory, where known; bounds the copy. */
  deviceMemoryBytes?: number | null;
  /** Seed of the bootstrap. Default 1. */
  seed?: number;
  /**
   * The calibration of the run that this one goes on with, on the same device: times are of the same
   * clock, and the canary is the same work, judged by the same time.
   */
  earlier?: CalibrationRecord;
  signal?: AbortSignal;
}

/** A fixed small piece of work that is timed around every sample, to see the clock. */
export interface Canary {
  /** Seconds on the undisturbed device: the median of the calibration. */
  readonly referenceSeconds: number;
  /** FLOP of one run, from which its rate follows. */
  readonly flops?: number;
  /** Runs it once and returns its time divided by the reference. */
  readonly probe: () => Promise<number>;
  /** Keeps the device busy for a tenth of a second, in one piece: gaps let a clock fall. */
  readonly exercise?: () => Promise<unknown>;
  readonly destroy: () => void;
}

/** The record of a calibration and the canary that it sized. */
export interface Calibration {
  readonly record: CalibrationRecord;
  readonly canary: Canary;
  /** Seconds of a timing by the clock that the calibration found to work. */
  readonly secondsOf: (timing: Timing) => number;
}

interface Effort {
  /** Seconds that one timed run aims at. */
  readonly target: number;
  readonly samples: number;
  readonly warmUp: number;
  readonly workgroups: number;
  readonly copyBytes: number;
  readonly canary: number;
}

/** A dispatch whose length is set by a number of trips. */
interface Work {
  readonly create: (trips: number) => Dispatch;
  readonly destroy: () => void;
}

/**
 * Measures the device. Takes about a second on a GPU and below five on a software adapter.
 *
 * A ceiling that cannot be measured is left out, with a line in `notes`.
 */
export async function calibrate(
  gpu: Gpu,
  timer: Timer,
  options: CalibrateOptions = {},
): Promise<Calibration> {
  const effort = chooseEffort(gpu, options);
  const notes: string[] = [];
  const seed = options.seed ?? 1;
  const run = (dispatch: Dispatch) =>
    timer.run([{ name: "calibrate", dispatches: [dispatch] }], { signal: options.signal });

  const f32 = await createFma(gpu, "f32", effort.workgroups);
  const clock = options.earlier?.clock ?? await findClock(f32, { run, effort, gpu, notes });
  const secondsOf = (timing: Timing) =>
    clock === "gpu" && timing.gpuSeconds !== null ? timing.gpuSeconds : timing.wallSeconds;
  const seconds = async (dispatch: Dispatch) => secondsOf(await run(dispatch));
  const tools: Tools = { seconds, effort, seed };

  await warmUp(f32, tools);
  const fmaF32 = await measureFma(f32, tools);
  const record: CalibrationRecord = { clock, fmaF32, notes };
  const attempt = async (name: string, measure: () => Promise<void>) => {
    try {
      await measure();
    } catch (error) {
      options.signal?.throwIfAborted();
      if (gpu.lost()) throw error;
      notes.push(`${name} was not measured: ${errorLine(error)}`);
    }
  };
  if (gpu.capabilities.f16) {
    await attempt("f16 arithmetic", async () => {
      const f16 = await createFma(gpu, "f16", effort.workgroups);
      try {
        record.fmaF16 = await measureFma(f16, tools);
      } finally {
        f16.destroy();
      }
    });
  }
  await attempt("copy bandwidth", async () => {
    record.copy = await measureCopy(gpu, tools);
  });
  for (const config of usefulConfigs(gpu.capabilities.subgroupMatrix)) {
    const name = `${config.componentType}×${config.componentType}→${config.resultComponentType} ` +
      `${config.M}×${config.N}×${config.K}`;
    await attempt(`matrix units ${name}`, async () => {
      const flopsPerSecond = await measureMatrix(gpu, config, tools);
      (record.matrix ??= []).push({ config: name, flopsPerSecond });
    });
  }
  await attempt("the empty pass", async () => {
    const found = await measureEmptyPass(gpu, timer, { clock, seed });
    record.emptyPass = found.emptyPass;
    if (found.granularity !== null) record.timestampGranularity = found.granularity;
  });
  const { earlier } = options;
  const canary = await createCanary(f32, { ...tools, fmaF32, record, earlier });
  return { record, canary, secondsOf };
}

interface Tools {
  readonly seconds: (dispatch: Dispatch) => Promise<number>;
  readonly effort: Effort;
  readonly seed: number;
}

function chooseEffort(gpu: Gpu, options: CalibrateOptions): Effort {
  const { capabilities, adapter } = gpu;
  const most = Math.min(capabilities.maxBindingBytes, capabilities.maxBufferBytes);
  if (adapter.software) {
    return {
      target: 0.02,
      samples: 7,
      warmUp: 0.2,
      workgroups: 64,
      copyBytes: Math.min(most, 32 * 2 ** 20),
      canary: 2e-3,
    };
  }
  const memory = options.deviceMemoryBytes ?? 2 * 2 ** 30;
  return {
    target: 0.01,
    samples: 15,
    warmUp: 1,
    workgroups: 8192,
    copyBytes: Math.min(most, 2 ** 30, memory / 8),
    canary: 1e-4,
  };
}

/**
 * GPU timestamps if they grow as the wall clock does. Differences are compared, between a run and
 * one four times as long, since the wall clock also holds a constant: a stack that polls for the
 * end of a submission adds ten milliseconds to every one.
 */
async function findClock(
  work: Work,
  options: {
    run: (dispatch: Dispatch) => Promise<Timing>;
    effort: Effort;
    gpu: Gpu;
    notes: string[];
  },
): Promise<"gpu" | "wall"> {
  const { run, effort, gpu, notes } = options;
  if (!gpu.capabilities.timestamps) {
    notes.push("no timestamp queries on this device: times are wall clock");
    return "wall";
  }
  await run(work.create(1));
  let trips = 1;
  let short = await run(work.create(trips));
  const enough = Math.max(effort.target, 0.02);
  while (short.wallSeconds < enough && trips < 2 ** 24) {
    trips *= 2;
    short = await run(work.create(trips));
  }
  // The best of a few: a busy host adds to the wall clock, nothing adds to a broken timestamp.
  let gpuGrowth = 0;
  let wallGrowth = 0;
  for (let i = 0; i < 5; i++) {
    const long = await run(work.create(4 * trips));
    gpuGrowth = (long.gpuSeconds ?? 0) - (short.gpuSeconds ?? 0);
    wallGrowth = long.wallSeconds - short.wallSeconds;
    const share = gpuGrowth / wallGrowth;
    if (share > 0.5 && share < 1.25) return "gpu";
    short = await run(work.create(trips));
  }
  notes.push(
    `timestamps grew by ${gpuGrowth} s where the wall clock grew by ${wallGrowth} s: ` +
      "times are wall clock",
  );
  return "wall";
}

/** Trips with which a run takes about `target` seconds. */
async function sizeWork(
  work: Work,
  options: { seconds: (dispatch: Dispatch) => Promise<number>; target: number },
): Promise<number> {
  const { seconds, target } = options;
  for (let trips = 4;; trips *= 4) {
    const took = await seconds(work.create(trips));
    if (took > target / 8 || trips >= 2 ** 24) {
      return Math.max(1, Math.round(trips * Math.min(64, target / Math.max(took, 1e-9))));
    }
  }
}

/** Runs until three times in a row agree within 2 %, since clocks ramp up under load. */
async function warmUp(work: Work, { seconds, effort }: Tools): Promise<void> {
  const started = performance.now();
  const dispatch = work.create(await sizeWork(work, { seconds, target: effort.target }));
  let last = [0, 0];
  while (performance.now() - started < effort.warmUp * 1e3) {
    const took = await seconds(dispatch);
    const all = [...last, took];
    if (Math.max(...all) < 1.02 * Math.min(...all)) return;
    last = all.slice(1);
  }
}

async function createFma(gpu: Gpu, real: "f16" | "f32", workgroups: number): Promise<Work> {
  const chains = [..."abcdefgh"];
  const lines = Array.from(
    { length: FMAS_PER_TRIP / chains.length },
    () => chains.map((c) => `  x.${c} = fma(x.${c}, factor, term);`).join("\n"),
  );
  const code = `${real === "f16" ? "enable f16; " : ""}${fmaCode}\nalias Real = ${real};\n` +
    "fn block(start: Chains, factor: vec4<Real>, term: vec4<Real>) -> Chains {\n" +
    `  var x = start;\n${lines.join("\n")}\n  return x;\n}\n`;
  const pipeline = await createPipeline(gpu, {
    label: `fma ${real}`,
    code,
    bindings: ["read-write", "uniform"],
  });
  const sink = await createStorageBuffer(gpu, workgroups * 256 * 4, { label: "fma sink" });
  const uniforms: GPUBuffer[] = [];
  return {
    create: (trips) => {
      const uniform = createParams(gpu, FMA_PARAMS, { trips, factor: 0.75, term: 0.5, pad: 0 });
      uniforms.push(uniform);
      return bindDispatch(gpu, pipeline, {
        slices: [slice(sink), slice(uniform)],
        workgroups: [workgroups, 1, 1],
        flops: workgroups * 256 * trips * FMAS_PER_TRIP * FLOPS_PER_FMA,
      });
    },
    destroy: () => [sink, ...uniforms].forEach((buffer) => buffer.destroy()),
  };
}

async function measureFma(work: Work, { seconds, effort, seed }: Tools): Promise<Statistic> {
  const dispatch = work.create(await sizeWork(work, { seconds, target: effort.target }));
  const times = await repeat(effort.samples, () => seconds(dispatch));
  return invertStatistic(times, { scale: dispatch.flops, seed });
}

async function measureCopy(gpu: Gpu, { seconds, effort, seed }: Tools): Promise<Statistic> {
  const pipeline = await createPipeline(gpu, {
    label: "copy",
    code: copyCode,
    bindings: ["read", "read-write", "uniform"],
  });
  const bytes = Math.floor(effort.copyBytes / 16384) * 16384;
  const groups = bytes / 16384;
  const x = Math.min(groups, 32768);
  const buffers: GPUBuffer[] = [];
  try {
    buffers.push(await createStorageBuffer(gpu, bytes, { label: "copy source" }));
    buffers.push(await createStorageBuffer(gpu, bytes, { label: "copy target" }));
    const params = { words: bytes / 16, rowStride: x * 1024, pad0: 0, pad1: 0 };
    buffers.push(createParams(gpu, COPY_PARAMS, params));
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: buffers.map(slice),
      workgroups: [x, Math.ceil(groups / x), 1],
    });
    await repeat(3, () => seconds(dispatch));
    const times = await repeat(effort.samples, () => seconds(dispatch));
    return invertStatistic(times, { scale: 2 * bytes, seed });
  } finally {
    buffers.forEach((buffer) => buffer.destroy());
  }
}

/** f16 in, f32 out, 16 × 16 × 16: what attention uses. A driver compiles each for seconds. */
function usefulConfigs(configs: readonly SubgroupMatrixConfig[]): SubgroupMatrixConfig[] {
  const seen = new Set<string>();
  return configs.filter((config) => {
    const key = JSON.stringify(config);
    const { componentType, resultComponentType, M, N, K } = config;
    if (seen.has(key)) return false;
    seen.add(key);
    return componentType === "f16" && resultComponentType === "f32" && M * N * K === 16 ** 3;
  });
}

/** The shader that measures one configuration of the matrix units; exported to be validated. */
export function matrixShader(config: SubgroupMatrixConfig): string {
  const { componentType: a, resultComponentType: r, M, N, K } = config;
  return "enable f16; enable subgroups; enable chromium_experimental_subgroup_matrix; " +
    "diagnostic(off, chromium.subgroup_matrix_uniformity); " +
    `diagnostic(off, subgroup_uniformity); ${matrixCode}\n` +
    `alias Element = ${a};\nalias Total = ${r};\n` +
    `alias Left = subgroup_matrix_left<${a}, ${K}, ${M}>;\n` +
    `alias Right = subgroup_matrix_right<${a}, ${N}, ${K}>;\n` +
    `alias Result = subgroup_matrix_result<${r}, ${N}, ${M}>;\n` +
    `const ROWS = ${M}u;\nconst COLUMNS = ${N}u;\nconst DEPTH = ${K}u;\n` +
    `const TILE = ${M * N}u;\nconst GROUP = ${MATRIX_GROUP}u;\n`;
}

async function measureMatrix(
  gpu: Gpu,
  config: SubgroupMatrixConfig,
  { seconds, effort, seed }: Tools,
): Promise<Statistic> {
  const { capabilities } = gpu;
  const { M, N, K } = config;
  const size = capabilities.subgroupMinSize;
  if (size === 0 || size !== capabilities.subgroupMaxSize) {
    throw new RangeError(
      `the subgroup size varies (${size} to ${capabilities.subgroupMaxSize}), a fixed one is needed`,
    );
  }
  const pipeline = await createPipeline(gpu, {
    label: `matrix units ${M}×${N}×${K}`,
    code: matrixShader(config),
    bindings: ["read", "read-write", "uniform"],
  });
  const workgroups = 4096;
  const slots = 1024;
  const bytesOut = config.resultComponentType === "f32" ? 4 : 2;
  const buffers: GPUBuffer[] = [];
  try {
    const elements = 2 * Math.max(M, N) * K;
    const tiles = await createStorageBuffer(gpu, elements * 2, { label: "matrix tiles" });
    buffers.push(tiles);
    // Neither zeros nor overflow: hardware draws less power, and so clocks higher, on zeros.
    const values = Float16Array.from({ length: elements }, (_, i) => ((i * 7) % 13 - 6) / 64);
    writeBuffer(gpu, slice(tiles), values);
    const sink = await createStorageBuffer(gpu, slots * 4 * M * N * bytesOut, {
      label: "matrix sink",
    });
    buffers.push(sink);
    const work: Work = {
      create: (trips) => {
        const uniform = createParams(gpu, MATRIX_PARAMS, {
          trips,
          subgroups: slots,
          pad0: 0,
          pad1: 0,
        });
        buffers.push(uniform);
        return bindDispatch(gpu, pipeline, {
          slices: [slice(tiles), slice(sink), slice(uniform)],
          workgroups: [workgroups, 1, 1],
          flops: workgroups * (MATRIX_GROUP / size) * trips * MATRIX_PER_TRIP * 2 * M * N * K,
        });
      },
      destroy: () => {},
    };
    return await measureFma(work, { seconds, effort, seed });
  } finally {
    buffers.forEach((buffer) => buffer.destroy());
  }
}

/** Cost of a pass with one tiny dispatch, and the smallest step between timestamps. */
async function measureEmptyPass(
  gpu: Gpu,
  timer: Timer,
  options: { clock: "gpu" | "wall"; seed: number },
): Promise<{ emptyPass: Statistic; granularity: number | null }> {
  const pipeline = await createPipeline(gpu, {
    label: "nothing",
    code: nothingCode,
    bindings: ["read-write"],
  });
  const sink = await createStorageBuffer(gpu, 16, { label: "nothing" });
  try {
    const dispatch = bindDispatch(gpu, pipeline, {
      slices: [slice(sink)],
      workgroups: [1, 1, 1],
    });
    const stages = Array.from({ length: 64 }, () => ({ name: "nothing", dispatches: [dispatch] }));
    await timer.run(stages, { stages: true });
    const timings = await repeat(4, () => timer.run(stages, { stages: true }));
    if (options.clock === "wall") {
      const times = timings.map((timing) => timing.wallSeconds / stages.length);
      return { emptyPass: summarize(times, { seed: options.seed }), granularity: null };
    }
    const durations = timings.flatMap((timing) => timing.stages ?? []);
    const emptyPass = summarize(durations, { seed: options.seed });
    return { emptyPass, granularity: smallestStep(durations) };
  } finally {
    sink.destroy();
  }
}

/**
 * The smallest non-zero difference among durations and zero: every duration is a whole number of
 * timestamp steps. Null when all are zero.
 */
export function smallestStep(durations: readonly number[]): number | null {
  const sorted = [0, ...durations].sort((a, b) => a - b);
  let step = Infinity;
  for (let i = 1; i < sorted.length; i++) {
    // Timestamps are whole nanoseconds; anything below is rounding of the subtraction.
    const difference = sorted[i] - sorted[i - 1];
    if (difference > 0.5e-9) step = Math.min(step, difference);
  }
  return Number.isFinite(step) ? Math.round(step * 1e9) / 1e9 : null;
}

async function createCanary(
  work: Work,
  options: Tools & {
    fmaF32: Statistic;
    record: CalibrationRecord;
    earlier?: CalibrationRecord;
  },
): Promise<Canary> {
  const { seconds, effort, record, earlier } = options;
  const target = Math.max(effort.canary, 200 * (record.timestampGranularity ?? 0));
  const known = earlier?.canary && earlier.canaryTrips ? earlier : undefined;
  const trips = known?.canaryTrips ?? await sizeWork(work, { seconds, target });
  const dispatch = work.create(trips);
  const busy = work.create(await sizeWork(work, { seconds, target: EXERCISE * effort.target }));
  const canaryOf = (referenceSeconds: number): Canary => ({
    referenceSeconds,
    flops: dispatch.flops,
    probe: async () => (await seconds(dispatch)) / referenceSeconds,
    exercise: () => seconds(busy),
    destroy: work.destroy,
  });
  record.canaryTrips = trips;
  if (known) {
    record.canary = known.canary;
    return canaryOf(known.canary!.median);
  }
  let times: number[] = [];
  for (let attempt = 0; attempt < CANARY_ATTEMPTS; attempt++) {
    await repeat(3, () => seconds(dispatch));
    times = await repeat(2 * effort.samples, () => seconds(dispatch));
    // The same arithmetic as the ceiling: far below it, the clock fell in between.
    const reached = dispatch.flops / summarize(times).median;
    if (reached > CANARY_SHARE * options.fmaF32.median) break;
    await seconds(busy);
  }
  record.canary = summarize(times, { seed: options.seed });
  return canaryOf(record.canary.median);
}

async function repeat<T>(count: number, measure: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++) results.push(await measure());
  return results;
}
