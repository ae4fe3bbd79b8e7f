/**
 * The single measurements of a calibration: arithmetic, copy, matrix units, and a pass that does
 * nothing. METHOD.md explains each figure.
 *
 * @module
 */
import copyCode from "./calibrate/copy.wgsl" with { type: "text" };
import fmaCode from "./calibrate/fma.wgsl" with { type: "text" };
import matrixCode from "./calibrate/matrix.wgsl" with { type: "text" };
import nothingCode from "./calibrate/nothing.wgsl" with { type: "text" };
import type { Gpu, SubgroupMatrixConfig } from "../../kernels/gpu/device.ts";
import {
  bindDispatch,
  createStorageBuffer,
  type Dispatch,
  slice,
  writeBuffer,
} from "../../kernels/gpu/buffers.ts";
import { createPipeline } from "../../kernels/gpu/pipeline.ts";
import type { Timer } from "../../kernels/gpu/timing.ts";
import { createParams } from "../../kernels/gpu/uniform.ts";
import type { Statistic } from "../result/result_schema.ts";
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

/** Durations and sizes of the measurements on a device. */
export interface Effort {
  /** Target seconds of one timed run. */
  readonly target: number;
  readonly samples: number;
  readonly warmUp: number;
  readonly workgroups: number;
  readonly copyBytes: number;
  readonly canary: number;
}

/** A dispatch whose length is set by a number of trips. */
export interface Work {
  readonly create: (trips: number) => Dispatch;
  readonly destroy: () => void;
}

/** What every measurement needs. */
export interface Tools {
  readonly seconds: (dispatch: Dispatch) => Promise<number>;
  readonly effort: Effort;
  readonly seed: number;
}

/** Number of trips for which a run takes about `target` seconds. */
export async function sizeWork(
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

/** A chain of fused multiply-adds in registers, whose length is its trips. */
export async function createFma(gpu: Gpu, real: "f16" | "f32", workgroups: number): Promise<Work> {
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

/** FLOP per second of work that only computes. */
export async function measureFma(work: Work, { seconds, effort, seed }: Tools): Promise<Statistic> {
  const dispatch = work.create(await sizeWork(work, { seconds, target: effort.target }));
  const times = await repeat(effort.samples, () => seconds(dispatch));
  return invertStatistic(times, { scale: dispatch.flops, seed });
}

/** Bytes per second of a large copy, read and written. */
export async function measureCopy(gpu: Gpu, { seconds, effort, seed }: Tools): Promise<Statistic> {
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
export function usefulConfigs(configs: readonly SubgroupMatrixConfig[]): SubgroupMatrixConfig[] {
  const seen = new Set<string>();
  return configs.filter((config) => {
    const key = JSON.stringify(config);
    const { componentType, resultComponentType, M, N, K } = config;
    if (seen.has(key)) return false;
    seen.add(key);
    return componentType === "f16" && resultComponentType === "f32" && M * N * K === 16 ** 3;
  });
}

/** The shader that measures one configuration of the matrix units; exported for validation. */
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

/** FLOP per second of one configuration of the matrix units. */
export async function measureMatrix(
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
    // Neither zeros nor overflow: hardware draws less power on zeros, and so clocks higher.
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
export async function measureEmptyPass(
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

/** Results of `count` measurements, one after another. */
export async function repeat<T>(count: number, measure: () => Promise<T>): Promise<T[]> {
  const results: T[] = [];
  for (let i = 0; i < count; i++) results.push(await measure());
  return results;
}
