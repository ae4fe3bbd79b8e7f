/**
 * A whole run: opens the device, plans, calibrates, checks, measures, and keeps the result file up
 * to date throughout. This is the entry for programs; the command line is a thin layer on top.
 *
 * @module
 */
import type { Result } from "../result/result_schema.ts";
import { SUITES } from "../suites.ts";
import { DENO_HOST } from "./deno_host.ts";
import { exitCodeOf } from "./exit_code.ts";
import type { Host } from "./host.ts";
import type { ProgressEvent, SuiteHooks } from "./progress.ts";
import type { SuiteOptions } from "./run_options.ts";
import { DEFAULT_SEED, MAX_SEED, type RunExtras, runOn } from "./run_on.ts";

export { DEFAULT_SEED, exitCodeOf, MAX_SEED };
export type { ProgressEvent, RunExtras, SuiteHooks, SuiteOptions };

/**
 * Runs the suites.
 *
 * A lost device and an aborted signal do not throw: finished cases are kept, the rest is recorded
 * as failed (lost device) or left out (`finishedAt` stays null).
 *
 * @throws {UsageError} when the options or a named tuning file cannot be used; nothing was
 * measured then.
 * @throws {OutputError} when the output folder cannot be written, or has a result that is neither
 * resumed nor replaced by force; nothing was measured then.
 * @throws {NotComparableError} when `resume` finds a result of another plan or machine.
 * @throws {DeviceError} without an adapter, or without a feature that was requested.
 */
export function runSuite(options: SuiteOptions = {}, hooks: SuiteHooks = {}): Promise<Result> {
  return runCalibrated(options, { hooks });
}

/**
 * {@linkcode runSuite} with the caller's calibration, folder, suites or machine. Default of the
 * last two: all suites, and the machine as Deno describes it.
 */
export function runCalibrated(
  options: SuiteOptions,
  { host = DENO_HOST, suites = SUITES, ...extras }: Partial<RunExtras> & { host?: Host } = {},
): Promise<Result> {
  return runOn(host, options, { suites, ...extras });
}
