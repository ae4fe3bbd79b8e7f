/**
 * The autotuner of dense attention: measures every declared tiling that fits a device, and reports
 * which one to use for each number of queries. METHOD.md explains how; its result affects nothing
 * but time.
 *
 * @module
 */
import { planDenseAttention } from "../../kernels/dense_attention/dense_attention.ts";
import { planDenseBackward } from "../../kernels/dense_attention/dense_attention_backward.ts";
import { withTuning } from "../../kernels/dense_attention/tuning.ts";
import { type DenseKernel, HEAD_DIMS } from "../../kernels/dense_attention/types.ts";
import { type DType, headsPerBlock, type TensorShape } from "../../kernels/gpu/buffers.ts";
import type { Gpu, TunedTiling } from "../../kernels/gpu/device.ts";
import { Timer } from "../../kernels/gpu/timing.ts";
import { holdWorkers } from "../check/worker_pool.ts";
import { calibrate, type Calibration } from "../device/calibrate.ts";
import { ClockWatch } from "../device/clock.ts";
import { describeKernel, type TuningEntry } from "../device/tuning_file.ts";
import { errorLine, UsageError } from "../errors.ts";
import { type Key, LEAST_ROUNDS, now, type Session, type TuneHooks } from "./tune/session.ts";
import { tuneKernel } from "./tune/tune_kernel.ts";

export type { TuneHooks };

/** Options of {@linkcode tune}. */
export interface TuneOptions {
  /** N, powers of two. Default 4,096, 16,384 and 65,536; on a software adapter 1,024. */
  contexts?: readonly number[];
  /** d. Default 64 and 128, on a software adapter 64. */
  headDims?: readonly number[];
  /** Default f16 where the device has it. */
  dtypes?: readonly DType[];
  /** Default both. */
  directions?: readonly ("forward" | "backward")[];
  /** Default: the kernel variant that the device gets by itself. */
  kernels?: readonly DenseKernel[];
  /**
   * H. Default 8, on a software adapter 1; less where a tensor of all heads would not fit one
   * binding.
   */
  heads?: number;
  /** Seconds for everything. Kernels that do not fit are left out with a note. Default 120. */
  budgetSeconds?: number;
  /** Most rounds of each kernel, two samples of every tiling each; at least 3. Default 8. */
  rounds?: number;
  /** Seed of the inputs. Default 1010. */
  seed?: number;
  /** Kernels that are already measured. Default: none. */
  known?: readonly Omit<TunedTiling, "tiling">[];
  /** Ceilings of the device. Default: it is calibrated first. */
  calibration?: Calibration;
  /** Which declared tilings are measured besides the default. Default: all that fit the device. */
  among?: (tiling: object) => boolean;
}

/**
 * Measures kernels one after the other, short contexts first.
 *
 * @throws {UsageError} when the options cannot be used: one line with the value and the limit.
 * @throws {DeviceLostError} when the device went away.
 */
export async function tune(
  gpu: Gpu,
  options: TuneOptions = {},
  hooks: TuneHooks = {},
): Promise<TuningEntry[]> {
  using _workers = holdWorkers();
  // Tilings that the device was given are not defaults.
  gpu = withTuning(gpu, []);
  const keys = planKeys(gpu, options);
  const deadline = now() + (options.budgetSeconds ?? 120);
  const timer = new Timer(gpu);
  const { signal } = hooks;
  const entries: TuningEntry[] = [];
  let calibration = options.calibration;
  try {
    hooks.onStep?.({ text: "calibrating the device", done: 0, total: keys.length });
    calibration ??= await calibrate(gpu, timer, { signal });
    const session: Session = {
      gpu,
      timer,
      calibration,
      clock: new ClockWatch(calibration.canary, {
        judged: !gpu.adapter.software,
        onRebase: () => session.rebases++,
      }),
      rebases: 0,
      hooks,
      seed: options.seed ?? 1010,
      rounds: Math.max(LEAST_ROUNDS, options.rounds ?? 8),
      among: options.among ?? (() => true),
      deadline,
      speeds: new Map(),
      checked: new Map(),
    };
    for (const [done, key] of keys.entries()) {
      signal?.throwIfAborted();
      hooks.onStep?.({ text: describeKernel(key), done, total: keys.length });
      try {
        const entry = await tuneKernel(session, key, { share: 1 / (keys.length - done) });
        entries.push(entry);
        hooks.onEntry?.(entry);
      } catch (error) {
        signal?.throwIfAborted();
        if (gpu.lost() !== undefined) throw error;
        hooks.onNote?.(`${describeKernel(key)}: not measured: ${errorLine(error)}`);
      }
    }
  } catch (error) {
    if (!signal?.aborted) throw error;
    hooks.onNote?.(
      entries.length > 0
        ? `tune: stopped before the end; ${formatEntries(entries.length)} kept`
        : "tune: stopped before the first kernel was measured; nothing is kept",
    );
  } finally {
    if (!options.calibration) calibration?.canary.destroy();
    timer.destroy();
  }
  return entries;
}

function formatEntries(count: number): string {
  return count === 1 ? "the one kernel measured is" : `the ${count} kernels measured are`;
}

/** Kernels to measure, the cheapest first. */
function planKeys(gpu: Gpu, options: TuneOptions): Key[] {
  const { f16 } = gpu.capabilities;
  const contexts = options.contexts ?? (gpu.adapter.software ? [1024] : [4096, 16384, 65536]);
  const headDims = options.headDims ?? (gpu.adapter.software ? [64] : [64, 128]);
  const dtypes = options.dtypes ?? [f16 ? "f16" as const : "f32" as const];
  const directions = options.directions ?? ["forward", "backward"];
  const most = options.heads ?? (gpu.adapter.software ? 1 : 8);
  for (const rows of contexts) {
    if (!Number.isInteger(Math.log2(rows))) {
      throw new UsageError(`tune: context ${rows} is not a power of two`);
    }
  }
  for (const headDim of headDims) {
    if (!HEAD_DIMS.includes(headDim)) {
      throw new UsageError(`tune: head dimension ${headDim} is not one of ${HEAD_DIMS.join(", ")}`);
    }
  }
  if (dtypes.includes("f16") && !f16) {
    throw new UsageError("tune: dtype f16: the device does not grant shader-f16");
  }
  const passes = (["forward", "query", "key-value"] as const).filter((pass) =>
    directions.includes(pass === "forward" ? "forward" : "backward")
  );
  const keys = contexts.toSorted((a, b) => a - b).flatMap((rows) =>
    headDims.flatMap((headDim) =>
      dtypes.flatMap((dtype) => {
        const heads = headsOfBlock(gpu, { heads: most, rows, dim: headDim, dtype });
        return passes.flatMap((pass) =>
          kernelsOf(gpu, { ...options, pass, rows, headDim, dtype })
            .map((kernel): Key => ({ kernel, pass, headDim, dtype, rows, heads }))
        );
      })
    )
  );
  const isKnown = (key: Key) =>
    options.known?.some((one) =>
      describeKernel({ ...one, heads: one.heads ?? key.heads }) === describeKernel(key)
    );
  return keys.filter((key) => !isKnown(key));
}

/** As many heads as fit a binding; all if not even one fits, which allocation then reports. */
function headsOfBlock(gpu: Gpu, shape: TensorShape): number {
  try {
    return headsPerBlock(gpu, [shape]);
  } catch (error) {
    if (error instanceof RangeError) return shape.heads;
    throw error;
  }
}

function kernelsOf(
  gpu: Gpu,
  options: TuneOptions & Omit<Key, "kernel" | "heads">,
): readonly DenseKernel[] {
  if (options.kernels) return options.kernels;
  const { pass, rows, headDim, dtype } = options;
  const plan = pass === "forward" ? planDenseAttention : planDenseBackward;
  return [plan(gpu, { heads: 1, rows, headDim, dtype }).kernel];
}
