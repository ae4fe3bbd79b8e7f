/**
 * The ceilings of a device, measured at the start of a run: arithmetic, copy, matrix units, and
 * the cost of a pass, the timestamp step and the undisturbed clock. METHOD.md explains each figure.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Dispatch } from "../../kernels/gpu/buffers.ts";
import type { Timer, Timing } from "../../kernels/gpu/timing.ts";
import { errorLine } from "../errors.ts";
import type { CalibrationRecord, Statistic } from "../result/result_schema.ts";
import { summarize } from "../statistics/statistics.ts";
import {
  createFma,
  type Effort,
  measureCopy,
  measureEmptyPass,
  measureFma,
  measureMatrix,
  repeat,
  sizeWork,
  type Tools,
  usefulConfigs,
  type Work,
} from "./ceilings.ts";

/** Length of an exercise, in timed runs: far longer than a stack needs to notice the end of one. */
const EXERCISE = 10;

/** A canary below this share of the arithmetic ceiling is measured again, at most this often. */
const CANARY_SHARE = 0.4;

const CANARY_ATTEMPTS = 5;

/** Purpose and time limit of the calibration. */
export interface CalibrateOptions {
  /** Bytes of device memory, if known; limits the copy. */
  deviceMemoryBytes?: number | null;
  /** Seed of the bootstrap. Default 1. */
  seed?: number;
  /**
   * The calibration of the run that this one resumes, on the same device: times use the same
   * clock, and the canary is the same work, judged by the same time.
   */
  earlier?: CalibrationRecord;
  signal?: AbortSignal;
}

/** A small fixed piece of work that is timed around every sample, to observe the clock. */
export interface Canary {
  /** Seconds on the undisturbed device: the median of the calibration. */
  readonly referenceSeconds: number;
  /** FLOP of one run, from which its rate follows. */
  readonly flops?: number;
  /** Runs it once and returns its time divided by the reference. */
  readonly probe: () => Promise<number>;
  /**
   * Keeps the device busy for a tenth of a second without gaps, during which a clock could fall.
   */
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
 * GPU timestamps if they grow like the wall clock. Differences between a run and one four times
 * as long are compared, since the wall clock also contains a constant: a stack that polls for the
 * end of a submission adds ten milliseconds to each.
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
  // The best of a few: a busy host adds to the wall clock, but cannot repair a broken timestamp.
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

/** Runs until three consecutive times agree within 2 %, since clocks ramp up under load. */
export async function warmUp(work: Work, { seconds, effort }: Tools): Promise<void> {
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
    // The same arithmetic as the ceiling: a rate far below it means that the clock fell in between.
    const reached = dispatch.flops / summarize(times).median;
    if (reached > CANARY_SHARE * options.fmaF32.median) break;
    await seconds(busy);
  }
  record.canary = summarize(times, { seed: options.seed });
  return canaryOf(record.canary.median);
}
