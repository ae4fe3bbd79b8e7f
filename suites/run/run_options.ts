/**
 * The options of a run.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu/device.ts";
import type { Measurable } from "../plan/measurable.ts";
import type { PlanOptions } from "../plan/plan_options.ts";
import type { Shard } from "../plan/shard.ts";
import type { Result, TuningRecord } from "../result/result_schema.ts";

/** Options of `runSuite`. The profile supplies what is left out. */
export interface SuiteOptions extends Omit<PlanOptions, "profile" | "peerNames"> {
  /** Default: `smoke` on a software adapter, else `standard`. */
  profile?: string;
  /**
   * The WebGPU implementation. `auto` is Dawn on a real GPU if it works, else Deno's own; a resumed
   * run keeps the one that it started on. Default `auto`.
   */
  stack?: "auto" | Exclude<Result["stack"], "browser">;
  /** Seed of the inputs and of every bootstrap; at most 2^32 - 4. Default 1010. */
  seed?: number;
  /** Folder for `result.json`. Default: nothing is written. */
  out?: string;
  /** Continue the partial result in `out`. */
  resume?: boolean;
  /** Replace a result that already exists in `out`. Default false: it is refused. */
  force?: boolean;
  /**
   * When the budget began, in milliseconds of `performance.now()`: opening the device, calibrating
   * and compiling count too. Default: it begins when the kernels are compiled.
   */
  budgetBegan?: number;
  /**
   * Groups of cases, in the order in which they run, that get their minimum of samples even if the
   * budget is over by then: a short run on a slow device has a number to show. Default 0.
   */
  leastGroups?: number;
  /** The command line that the result names. */
  command?: readonly string[];
  /** An open device, for example for tests; it stays open. */
  gpu?: Gpu;
  /** Default: all implementations. */
  registry?: readonly Measurable[];
  /** Runs only this part of the plan. */
  shard?: Shard;
  /** Other people's implementations to measure beside ours: `torch-fa2`, `python:FILE`, … */
  peers?: readonly string[];
  /**
   * Keeps the device's clock up during the run, without changing a setting: true, by any available
   * means; false, not at all. Default: on NVIDIA devices.
   */
  keepWarm?: boolean;
  /**
   * Measured tilings of dense attention that plans prefer: `auto` takes the cached ones of this
   * device, if `tune` was run on it; `none`; the name of a file that `tune` wrote; or what an
   * earlier result recorded. Default `none`.
   */
  tuning?: string | TuningRecord;
  /**
   * Measures all that was requested in suites that keep their own time: for a replay on a slower or
   * busier machine. Default false.
   */
  patient?: boolean;
}
