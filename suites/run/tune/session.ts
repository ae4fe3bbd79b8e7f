/**
 * State shared while the tilings of the kernels are measured one after the other.
 *
 * @module
 */
import type { Gpu, TunedTiling } from "../../../kernels/gpu/device.ts";
import type { Timer } from "../../../kernels/gpu/timing.ts";
import type { Calibration } from "../../device/calibrate.ts";
import type { ClockWatch } from "../../device/clock.ts";
import type { TuningEntry } from "../../device/tuning_file.ts";

/** Hooks of `tune`. */
export interface TuneHooks {
  /** Called with one line for what is left out and why. */
  onNote?: (line: string) => void;
  /** Called at each start, with the number of finished kernels. */
  onStep?: (step: { text: string; done: number; total: number }) => void;
  /** Called with each measured kernel. */
  onEntry?: (entry: TuningEntry) => void;
  /** Stops between two executions; finished measurements are returned. */
  signal?: AbortSignal;
}

/** Minimum rounds of a kernel: fewer than three pairs mean little. */
export const LEAST_ROUNDS = 3;

/** A kernel at one size; heads are those of one block. */
export type Key = Omit<TunedTiling, "tiling"> & { readonly heads: number };

/** One tuning. */
export interface Session {
  readonly gpu: Gpu;
  readonly timer: Timer;
  readonly calibration: Calibration;
  readonly clock: ClockWatch;
  readonly hooks: TuneHooks;
  readonly seed: number;
  readonly rounds: number;
  readonly among: (tiling: object) => boolean;
  /** Start, in seconds of `performance.now()`. */
  readonly deadline: number;
  /** FLOP per second of kernels as last measured. */
  readonly speeds: Map<string, number>;
  /** How often the clock's reference turned out to be from a low clock. */
  rebases: number;
  /** For each checked tiling, why it is excluded, if it is. */
  readonly checked: Map<string, string | undefined>;
}

/** Seconds. */
export function now(): number {
  return performance.now() / 1e3;
}

/** @throws {RangeError} when something takes more seconds than are left. */
export function requireTime({ deadline }: Session, needed: number): void {
  const left = Math.max(0, deadline - now());
  if (needed < left) return;
  throw new RangeError(
    `it takes about ${needed.toPrecision(2)} s, ${left.toFixed(1)} s of the budget are left`,
  );
}
